{{/* Which secrets a container gets and how: as data, with
  secret:  the name of the Secret
  keys:    by variable, the Secret's key that holds it
  files:   by variable, the file that holds it, made by something else
  mount:   the path under which the Secret is mounted; empty: its values are variables
  volume:  the name of the volume
  optional: start without the Secret or a key of it. Kubernetes would wait for them without a word; the program says
           in a second that the variable is not set, and its status 2 ends the Job. Only in hooks: a night must not
           run without a key that was mistyped, such as PUSHGATEWAY_URL's */}}

{{- define "costbatch.runSecrets" -}}
{{- $keys := dict }}
{{- if .Values.demo.enabled }}
{{- $keys = dict "DATABASE_URL" "DATABASE_URL" "ENCRYPTION_KEY" "ENCRYPTION_KEY" }}
{{- else if .Values.secrets.existingSecret }}
{{- $keys = .Values.secrets.keys }}
{{- else }}
{{- range $variable, $_ := .Values.secrets.values }}
{{- $keys = set $keys $variable $variable }}
{{- end }}
{{- end }}
{{- range $variable, $_ := .Values.secrets.files }}
{{- $keys = omit $keys $variable }}
{{- end -}}
secret: {{ include "costbatch.secretName" . }}
keys: {{ toJson $keys }}
files: {{ toJson .Values.secrets.files }}
mount: {{ ternary .Values.secrets.mountPath "" .Values.secrets.mountAsFiles | quote }}
volume: secrets
{{- end }}

{{/* Migrations get the database and nothing else, as the role that owns the tables. */}}
{{- define "costbatch.migrationSecrets" -}}
{{- $secrets := include "costbatch.runSecrets" . | fromYaml }}
{{- $keys := pick $secrets.keys "DATABASE_URL" }}
{{- $files := pick $secrets.files "DATABASE_URL" }}
{{- with .Values.migrations.databaseUrlKey }}
{{- $keys = dict "DATABASE_URL" . }}
{{- $files = dict }}
{{- end }}
{{- merge (dict "keys" $keys "files" $files "volume" "migration-secrets") (omit $secrets "keys" "files") | toYaml }}
{{- end }}

{{- define "costbatch.secretEnv" -}}
{{- range $variable, $key := .keys }}
- name: {{ ternary (printf "%s_FILE" $variable) $variable (not (empty $.mount)) }}
  {{- if $.mount }}
  value: {{ printf "%s/%s" $.mount $variable | quote }}
  {{- else }}
  valueFrom:
    secretKeyRef:
      name: {{ $.secret }}
      key: {{ $key }}
      {{- if $.optional }}
      optional: true
      {{- end }}
  {{- end }}
{{- end }}
{{- range $variable, $path := .files }}
- name: {{ $variable }}_FILE
  value: {{ $path | quote }}
{{- end }}
{{- end }}

{{- define "costbatch.secretMounts" -}}
{{- if and .mount .keys -}}
- name: {{ .volume }}
  mountPath: {{ .mount }}
  readOnly: true
{{- else }}[]
{{- end }}
{{- end }}

{{- define "costbatch.secretVolumes" -}}
{{- if and .mount .keys -}}
- name: {{ .volume }}
  secret:
    secretName: {{ .secret }}
    {{- if .optional }}
    optional: true
    {{- end }}
    defaultMode: 0440
    items:
      {{- range $variable, $key := .keys }}
      - key: {{ $key }}
        path: {{ $variable }}
      {{- end }}
{{- end }}
{{- end }}
