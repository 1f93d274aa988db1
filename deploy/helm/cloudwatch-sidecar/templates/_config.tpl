{{/* The sidecar's configuration, as YAML: the values of `config`, the socket and the folder of the spool. */}}
{{- define "cloudwatch-sidecar.config" -}}
{{- $values := index .Values "cloudwatch-sidecar" -}}
{{- $config := deepCopy $values.config -}}
{{- if $values.socket -}}
{{- $config = merge $config (dict "listen" (dict "statsd_socket" "/var/run/sidecar/dsd.socket")) -}}
{{- end -}}
{{- if $values.spool.enabled -}}
{{- $config = merge $config (dict "deliver" (dict "spool_dir" "/var/lib/sidecar")) -}}
{{- end -}}
{{- toYaml $config }}
{{- end }}

{{- define "cloudwatch-sidecar.configMapName" -}}
{{- printf "%s-%s" .Release.Name (index .Values "cloudwatch-sidecar").name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* A document of its own: the ConfigMap that the container reads. */}}
{{- define "cloudwatch-sidecar.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "cloudwatch-sidecar.configMapName" . }}
  labels:
    app.kubernetes.io/instance: {{ .Release.Name }}
    app.kubernetes.io/component: cloudwatch-sidecar
    helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
data:
  config.yaml: |
    {{- include "cloudwatch-sidecar.config" . | nindent 4 }}
{{- end }}

{{/*
Annotations of the pod: a change of the configuration rolls the pods, unless it is one of rules, which the sidecar
reloads by itself.
*/}}
{{- define "cloudwatch-sidecar.podAnnotations" -}}
{{- $config := include "cloudwatch-sidecar.config" . | fromYaml -}}
{{- with $config.metrics }}{{- $_ := set $config "metrics" (omit . "rules") }}{{- end -}}
{{- with $config.logs }}{{- $_ := set $config "logs" (omit . "redact" "metrics" "routes") }}{{- end -}}
checksum/cloudwatch-sidecar: {{ toYaml $config | sha256sum }}
{{- end }}

{{/* repository@digest, or repository:tag. */}}
{{- define "cloudwatch-sidecar.image" -}}
{{- $image := (index .Values "cloudwatch-sidecar").image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index .Subcharts "cloudwatch-sidecar").Chart.AppVersion }}
{{- end -}}
{{- end }}
