{{/* Registers the accounts of the simulated AWS; accounts that exist are left unchanged. */}}
{{- define "costbatch.demoAccountsContainer" -}}
- name: demo-accounts
  image: {{ include "costbatch.demoImage" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command:
    - python
    - -m
    - costbatch.demo.register
  terminationMessagePolicy: FallbackToLogsOnError
  securityContext:
    {{- toYaml .Values.containerSecurityContext | nindent 4 }}
  resources:
    {{- toYaml .Values.demo.resources | nindent 4 }}
  {{- $secrets := include "costbatch.runSecrets" . | fromYaml }}
  env:
    {{- include "costbatch.secretEnv" $secrets | trim | nindent 4 }}
  {{- with include "costbatch.secretMounts" $secrets | fromYamlArray }}
  volumeMounts:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
