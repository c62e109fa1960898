{{/* Names */}}

{{- define "costbatch.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 52 characters: Kubernetes adds up to 11 to a CronJob's name, and "-demo-postgres" to 63 leaves 49. */}}
{{- define "costbatch.fullname" -}}
{{- $name := include "costbatch.name" . }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $full | trunc 49 | trimSuffix "-" }}
{{- end }}

{{/* The one list that everything about jobs is made from. noun, done: the words of their alerts. */}}
{{- define "costbatch.knownJobs" -}}
- {job: collect, noun: collection, done: collected}
- {job: discover, noun: discovery, done: discovered}
{{- end }}

{{/* The jobs that run, each with a CronJob of its own: the first one always, another one if its block of values has
`enabled`, and all of them in the trial. */}}
{{- define "costbatch.jobs" -}}
{{- range include "costbatch.knownJobs" . | fromYamlArray }}
{{- $job := .job }}
{{- $own := get $.Values $job | default dict }}
{{- if or (eq $job "collect") $own.enabled $.Values.demo.enabled }}
- {{ $job }}
{{- end }}
{{- end }}
{{- end }}

{{/* The CronJob of a job; the first one has the chart's own name. */}}
{{- define "costbatch.jobName" -}}
{{- $suffix := eq .Job "collect" | ternary "" (printf "-%s" .Job) }}
{{- include "costbatch.fullname" . | trunc (sub 52 (len $suffix) | int) | trimSuffix "-" }}{{ $suffix }}
{{- end }}

{{- define "costbatch.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "costbatch.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* The Secret that the chart makes, or the one that is there. The chart's own is not named like the release: people are
told to make one of that name, which Helm would delete as soon as secrets.values is removed. */}}
{{- define "costbatch.secretName" -}}
{{- if .Values.demo.enabled }}{{ include "costbatch.fullname" . }}-demo
{{- else }}{{ .Values.secrets.existingSecret | default (printf "%s-values" (include "costbatch.fullname" .)) }}
{{- end }}
{{- end }}

{{/* The demonstration's database comes with the release itself, so no hook can migrate it. */}}
{{- define "costbatch.migrationMode" -}}
{{- ternary "initContainer" .Values.migrations.mode .Values.demo.enabled }}
{{- end }}

{{/* Labels; app.kubernetes.io/component stands beside them, in each object. */}}

{{- define "costbatch.selectorLabels" -}}
app.kubernetes.io/name: {{ include "costbatch.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "costbatch.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{ include "costbatch.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: costbatch
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Images */}}

{{- define "costbatch.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion }}
{{- $version := .Values.image.digest | empty | ternary (printf ":%s" $tag) (printf "@%s" .Values.image.digest) }}
{{- with .Values.image.registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}{{ $version }}
{{- end }}

{{- define "costbatch.demoImage" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end }}{{ .Values.demo.image.repository }}:{{ .Values.demo.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Whether a variable is given, itself or as a file, by the settings, the secrets or extraEnv. Then the chart sets none:
Kubernetes would take the last of two without a word, and the program refuses a value beside a file. An empty setting
gives nothing. Call with root and name. */}}
{{- define "costbatch.isGiven" -}}
{{- $secrets := include "costbatch.runSecrets" .root | fromYaml }}
{{- $given := merge (dict) $secrets.keys $secrets.files }}
{{- range $name, $value := .root.Values.settings }}
{{- if ne "" (toString $value) }}
{{- $_ := set $given $name "" }}
{{- end }}
{{- end }}
{{- range .root.Values.extraEnv }}
{{- $_ := set $given .name "" }}
{{- end }}
{{- if or (hasKey $given .name) (hasKey $given (printf "%s_FILE" .name)) }}yes{{ end }}
{{- end }}

{{/* The one place that knows how long an orderly stop takes: the accounts in flight, the metrics, and 25 seconds
to store what came in and to close the run. 25 and 10 are the defaults of the two settings. */}}
{{- define "costbatch.gracePeriod" -}}
{{- range $name := list "COSTBATCH_GRACE_SECONDS" "COSTBATCH_PUSH_TIMEOUT_SECONDS" }}
{{- if and (include "costbatch.isGiven" (dict "root" $ "name" $name)) (empty (get $.Values.settings $name | toString)) }}
{{- fail (printf "Set %s in settings, as a number: terminationGracePeriodSeconds follows from it." $name) }}
{{- end }}
{{- end }}
{{- /* As text, so that 0 stays 0 and only an empty one is the default. */}}
{{- $grace := get .Values.settings "COSTBATCH_GRACE_SECONDS" | toString | default "25" | float64 | ceil | int }}
{{- $push := get .Values.settings "COSTBATCH_PUSH_TIMEOUT_SECONDS" | toString | default "10" | float64 | ceil | int }}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds }}{{ add $grace $push 25 }}
{{- else if gt (int .Values.terminationGracePeriodSeconds) (add $grace $push | int) }}{{ .Values.terminationGracePeriodSeconds }}
{{- else }}{{ fail (printf "terminationGracePeriodSeconds must be more than %d: COSTBATCH_GRACE_SECONDS and COSTBATCH_PUSH_TIMEOUT_SECONDS. Omit it to derive it." (add $grace $push)) }}
{{- end }}
{{- end }}

{{/* When a run begins no more accounts: early enough to end in order before Kubernetes ends the Job, whose time counts
from before the first pod starts. Five minutes are for that start, on a node that has yet to come, and for the delivery
of what the run has to tell: a tenth of a short time, but half a minute at least. Nothing if it is given, or if the Job
has no such time. */}}
{{- define "costbatch.deadline" -}}
{{- if not (or (include "costbatch.isGiven" (dict "root" . "name" "COSTBATCH_DEADLINE_SECONDS")) (kindIs "invalid" .Values.activeDeadlineSeconds)) }}
{{- $active := int .Values.activeDeadlineSeconds }}
{{- $start := div $active 10 | min 300 | max 30 }}
{{- $deadline := sub (sub $active $start) (include "costbatch.gracePeriod" . | int) }}
{{- /* The program takes a week at most. */}}
{{- if gt $deadline 0 }}{{ min $deadline 604800 }}{{ end }}
{{- end }}
{{- end }}

{{/* By what this release's metrics are told from those of others on the same Pushgateway: name=value, a comma between.
Nothing if they are given. */}}
{{- define "costbatch.pushLabels" -}}
{{- if not (include "costbatch.isGiven" (dict "root" . "name" "COSTBATCH_PUSH_LABELS")) -}}
namespace={{ .Release.Namespace }},release={{ .Release.Name }}
{{- end }}
{{- end }}

{{/* What finds the metrics of this release's nights. Runs over some accounts or days have a group of their own. */}}
{{- define "costbatch.metrics" -}}
{{- with .Values.monitoring.prometheusRule.selector }}
{{- if not (regexMatch "job=\"[^\"]*\"" .) }}
{{- fail "monitoring.prometheusRule.selector must contain job=\"NAME\", such as job=\"costbatch\": it tells the metrics of collect from those of discover." }}
{{- end }}
{{- end }}
{{- $selector := list "job=\"costbatch\"" }}
{{- range splitList "," (include "costbatch.pushLabels" . | default (get .Values.settings "COSTBATCH_PUSH_LABELS")) }}
{{- $pair := regexSplit "=" . 2 }}
{{- if eq (len $pair) 2 }}
{{- $selector = append $selector (printf "%s=%s" (first $pair | trim) (last $pair | trim | quote)) }}
{{- end }}
{{- end }}
{{- .Values.monitoring.prometheusRule.selector | default (join "," $selector) }},run=""
{{- end }}

{{/* What no schema can say, because it is about several values at once. */}}
{{- define "costbatch.validate" -}}
{{- $secrets := .Values.secrets }}
{{- if .Values.demo.enabled }}
{{- if or $secrets.existingSecret $secrets.values $secrets.files }}
{{- fail "demo.enabled has its own database and key: omit secrets.*, or demo.enabled." }}
{{- end }}
{{- else if not (or $secrets.existingSecret $secrets.values $secrets.files .Values.extraEnvFrom) }}
{{- fail "costbatch needs DATABASE_URL and ENCRYPTION_KEY: set secrets.existingSecret to a Secret that holds them, or secrets.values for a trial." }}
{{- end }}
{{- if and $secrets.existingSecret $secrets.values }}
{{- fail "secrets.existingSecret and secrets.values exclude each other: set one of them." }}
{{- end }}
{{- if and .Values.pushgateway.url (include "costbatch.isGiven" (dict "root" . "name" "PUSHGATEWAY_URL")) }}
{{- fail "PUSHGATEWAY_URL is both in pushgateway.url and in secrets or extraEnv: set one of them." }}
{{- end }}
{{- if and .Values.migrations.databaseUrlKey (not $secrets.existingSecret) }}
{{- fail "migrations.databaseUrlKey is a key of secrets.existingSecret, which is not set." }}
{{- end }}
{{- end }}
