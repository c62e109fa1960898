{{/* What all pods have in common: those of runs, of migrations and of the test. */}}

{{- define "costbatch.podFields" -}}
restartPolicy: Never
automountServiceAccountToken: {{ .Values.serviceAccount.automountToken }}
# The variables that Kubernetes creates for Services named costbatch-… would look like settings.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "costbatch.gracePeriod" . }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A container of costbatch. Call with root, name, args and secrets; with runKey for the one that collects. */}}
{{- define "costbatch.container" -}}
- name: {{ .name }}
  args:
    {{- toYaml .args | nindent 4 }}
  image: {{ include "costbatch.image" .root }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  # The last log line says why it failed; this shows it in `kubectl describe`.
  terminationMessagePolicy: FallbackToLogsOnError
  securityContext:
    {{- toYaml .root.Values.containerSecurityContext | nindent 4 }}
  resources:
    {{- toYaml .root.Values.resources | nindent 4 }}
  {{- with include "costbatch.env" . | trim }}
  env:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.extraEnvFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $sinks := list }}
  {{- if ne .name "migrate" }}
  {{- $sinks = include "costbatch.sinksMounts" .root | fromYamlArray }}
  {{- end }}
  {{- with concat (include "costbatch.secretMounts" .secrets | fromYamlArray) $sinks .root.Values.extraVolumeMounts }}
  volumeMounts:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "costbatch.env" -}}
{{- if .runKey }}
# The Job's uid: its retries and its parallel pods share one run; a manual Job is a run of its own.
- name: COSTBATCH_RUN_KEY
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['batch.kubernetes.io/controller-uid']
{{- with include "costbatch.deadline" .root }}
- name: COSTBATCH_DEADLINE_SECONDS
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- include "costbatch.secretEnv" .secrets }}
{{- range $name, $value := .root.Values.settings }}
{{- if ne "" (toString $value) }}
- name: {{ $name }}
  value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
{{- end }}
{{- end }}
{{- if ne .name "migrate" }}
{{- with include "costbatch.sinksFile" .root }}
- name: COSTBATCH_SINKS_FILE
  value: {{ . }}
{{- end }}
{{- end }}
{{- with .root.Values.pushgateway.url }}
- name: PUSHGATEWAY_URL
  value: {{ . | quote }}
{{- end }}
{{- with include "costbatch.pushLabels" .root }}
- name: COSTBATCH_PUSH_LABELS
  value: {{ . | quote }}
{{- end }}
{{- if .root.Values.demo.enabled }}
- name: AWS_ENDPOINT_URL
  value: http://{{ include "costbatch.fullname" .root }}-demo-aws:8080
- name: AWS_EC2_METADATA_DISABLED
  value: "true"
{{- end }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What runs before costbatch, in the pods of runs and of the test. Call with root and optional. */}}
{{- define "costbatch.initContainers" -}}
{{- with .root.Values.extraInitContainers }}
{{ toYaml . }}
{{- end }}
{{- if eq (include "costbatch.migrationMode" .root) "initContainer" }}
{{ include "costbatch.container" (dict "root" .root "name" "migrate" "args" (list "db" "upgrade") "secrets" (set (include "costbatch.migrationSecrets" .root | fromYaml) "optional" .optional)) }}
{{- end }}
{{- if .root.Values.demo.enabled }}
{{ include "costbatch.demoAccountsContainer" .root }}
{{- end }}
{{- end }}

{{/* The volumes of the pods of runs and of the test. Call with root and optional. */}}
{{- define "costbatch.volumes" -}}
{{- include "costbatch.secretVolumes" (set (include "costbatch.runSecrets" .root | fromYaml) "optional" .optional) }}
{{- if eq (include "costbatch.migrationMode" .root) "initContainer" }}
{{ include "costbatch.secretVolumes" (set (include "costbatch.migrationSecrets" .root | fromYaml) "optional" .optional) }}
{{- end }}
{{ include "costbatch.sinksVolumes" .root }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
