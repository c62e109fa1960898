{{/* Where events are delivered: a file from the values, and a folder with the secrets that it refers to. */}}

{{- define "costbatch.sinksFile" -}}
{{- if and .Values.sinks.config (include "costbatch.isGiven" (dict "root" . "name" "COSTBATCH_SINKS")) }}
{{- fail "sinks.config and COSTBATCH_SINKS are both set; remove one of them." }}
{{- end }}
{{- if .Values.sinks.config }}/etc/costbatch/sinks-config/sinks.yaml{{ end }}
{{- end }}

{{- define "costbatch.sinksMounts" -}}
{{- if .Values.sinks.config -}}
- name: sinks-config
  mountPath: /etc/costbatch/sinks-config
  readOnly: true
{{- if .Values.sinks.existingSecret }}
- name: sinks
  mountPath: /etc/costbatch/sinks
  readOnly: true
{{- end }}
{{- else }}[]
{{- end }}
{{- end }}

{{- define "costbatch.sinksVolumes" -}}
{{- if .Values.sinks.config -}}
- name: sinks-config
  configMap:
    name: {{ include "costbatch.fullname" . }}-sinks
    defaultMode: 0440
{{- with .Values.sinks.existingSecret }}
- name: sinks
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- end }}

{{/* Whether any sink sends over a network. */}}
{{- define "costbatch.hasReceivers" -}}
{{- range $name, $sink := .Values.sinks.config }}
{{- if ne $sink.type "log" }}yes{{ end }}
{{- end }}
{{- end }}
