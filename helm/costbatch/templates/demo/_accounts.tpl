{{/* Registers the stand-in's accounts, as `costbatch accounts add` does; those that are there stay as they are. */}}
{{- define "costbatch.demoAccountsContainer" -}}
- name: demo-accounts
  image: {{ include "costbatch.demoImage" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command:
    - python
    - /demo/register_accounts.py
  terminationMessagePolicy: FallbackToLogsOnError
  securityContext:
    {{- toYaml .Values.containerSecurityContext | nindent 4 }}
  resources:
    {{- toYaml .Values.demo.resources | nindent 4 }}
  env:
    {{- include "costbatch.secretEnv" (include "costbatch.runSecrets" . | fromYaml) | trim | nindent 4 }}
  volumeMounts:
    - name: demo
      mountPath: /demo
      readOnly: true
{{- end }}
