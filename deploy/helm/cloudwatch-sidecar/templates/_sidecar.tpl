{{/*
The container: an element of initContainers (native: true) or of containers.

  initContainers:
    {{- include "cloudwatch-sidecar.container" . | nindent 4 }}
*/}}
{{- define "cloudwatch-sidecar.container" -}}
{{- $values := index .Values "cloudwatch-sidecar" -}}
{{- $config := include "cloudwatch-sidecar.config" . | fromYaml -}}
{{- $listen := $config.listen | default dict -}}
- name: {{ $values.name }}
  image: {{ include "cloudwatch-sidecar.image" . | quote }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  {{- if $values.native }}
  restartPolicy: Always
  {{- end }}
  args: ["run", "--config", "/etc/sidecar/config.yaml"]
  env:
    {{- with $values.region }}
    - name: AWS_REGION
      value: {{ . }}
    {{- end }}
    {{- with $values.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.envFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    {{- $ports := list
          (list "statsd" "statsd_port" "UDP")
          (list "emf" "emf_port" "TCP")
          (list "emf-udp" "emf_port" "UDP")
          (list "ingest" "http_port" "TCP")
          (list "admin" "admin_port" "TCP") }}
    {{- range $ports }}
    {{- $port := include "cloudwatch-sidecar.port" (list $listen (index . 1)) }}
    {{- if $port }}
    - name: {{ index . 0 }}
      containerPort: {{ $port }}
      protocol: {{ index . 2 }}
      {{- if and $values.hostPorts (ne (index . 0) "admin") }}
      hostPort: {{ $port }}
      {{- end }}
    {{- end }}
    {{- end }}
  {{- range $probe := ternary (list "startupProbe" "livenessProbe" "readinessProbe") (list "startupProbe" "livenessProbe") $values.readiness }}
  {{- with index $values $probe }}
  {{ $probe }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  resources:
    {{- toYaml $values.resources | nindent 4 }}
  securityContext:
    {{- toYaml $values.securityContext | nindent 4 }}
  volumeMounts:
    - name: {{ $values.name }}-config
      mountPath: /etc/sidecar
      readOnly: true
    {{- with include "cloudwatch-sidecar.socketMounts" . }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- if $values.spool.enabled }}
    - name: {{ $values.name }}-spool
      mountPath: /var/lib/sidecar
    {{- end }}
    {{- with $values.volumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* Elements of volumes of the pod. */}}
{{- define "cloudwatch-sidecar.volumes" -}}
{{- $values := index .Values "cloudwatch-sidecar" -}}
- name: {{ $values.name }}-config
  configMap:
    name: {{ include "cloudwatch-sidecar.configMapName" . }}
{{- if include "cloudwatch-sidecar.socketMounts" . }}
- name: {{ $values.name }}-sockets
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
{{- end }}
{{- if $values.spool.enabled }}
- name: {{ $values.name }}-spool
  emptyDir:
    sizeLimit: {{ $values.spool.sizeLimit }}
{{- end }}
{{- end }}

{{/* Elements of env of the application's container: where the sidecar listens. */}}
{{- define "cloudwatch-sidecar.applicationEnv" -}}
{{- $values := index .Values "cloudwatch-sidecar" -}}
{{- $listen := (include "cloudwatch-sidecar.config" . | fromYaml).listen | default dict -}}
{{- $env := list -}}
{{- with include "cloudwatch-sidecar.port" (list $listen "statsd_port") -}}
{{- $env = concat $env (list (dict "name" "STATSD_HOST" "value" "127.0.0.1") (dict "name" "STATSD_PORT" "value" .)) -}}
{{- end -}}
{{- with include "cloudwatch-sidecar.port" (list $listen "http_port") -}}
{{- $url := printf "http://127.0.0.1:%s" . -}}
{{- $env = append $env (dict "name" "INGEST_URL" "value" $url) -}}
{{- if $values.redirectAwsSdk -}}
{{- $env = append $env (dict "name" "AWS_ENDPOINT_URL_CLOUDWATCH" "value" $url) -}}
{{- $env = append $env (dict "name" "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS" "value" $url) -}}
{{- end -}}
{{- end -}}
{{- with include "cloudwatch-sidecar.port" (list $listen "emf_port") -}}
{{- $env = append $env (dict "name" "AWS_EMF_AGENT_ENDPOINT" "value" (printf "tcp://127.0.0.1:%s" .)) -}}
{{- end -}}
{{- with $listen.statsd_socket -}}
{{- $env = append $env (dict "name" "DD_DOGSTATSD_URL" "value" (printf "unix://%s" .)) -}}
{{- end -}}
{{- toYaml $env }}
{{- end }}

{{/* The port that a key of `listen` has; nothing where it is null or a variable. Takes (list LISTEN KEY). */}}
{{- define "cloudwatch-sidecar.port" -}}
{{- $listen := index . 0 -}}
{{- $key := index . 1 -}}
{{- $defaults := dict "statsd_port" 8125 "emf_port" 25888 "http_port" 8127 "admin_port" 9127 -}}
{{- $port := ternary (get $listen $key) (get $defaults $key) (hasKey $listen $key) -}}
{{- if and $port (not (kindIs "string" $port)) }}{{ int $port }}{{ end -}}
{{- end }}

{{/* Elements of volumeMounts of the application's container; nothing without a socket. */}}
{{- define "cloudwatch-sidecar.socketMounts" -}}
{{- $values := index .Values "cloudwatch-sidecar" -}}
{{- $listen := (include "cloudwatch-sidecar.config" . | fromYaml).listen | default dict -}}
{{- with $listen.statsd_socket | default $listen.statsd_stream_socket -}}
- name: {{ $values.name }}-sockets
  mountPath: {{ dir . }}
{{- end }}
{{- end }}

{{/* The securityContext of the pod. */}}
{{- define "cloudwatch-sidecar.podSecurityContext" -}}
{{- toYaml (index .Values "cloudwatch-sidecar").podSecurityContext }}
{{- end }}

{{/* One clock for all: the application's own shutdown, then the sidecar's drain, then slack. */}}
{{- define "cloudwatch-sidecar.terminationGracePeriodSeconds" -}}
{{- $values := index .Values "cloudwatch-sidecar" -}}
{{- $deliver := (include "cloudwatch-sidecar.config" . | fromYaml).deliver | default dict -}}
{{- $drain := $deliver.drain_seconds | default 25 -}}
{{- if kindIs "string" $drain -}}
{{- fail "cloudwatch-sidecar: config.deliver.drain_seconds has to be a number: the pod's grace period is made of it" -}}
{{- end -}}
{{- add $values.applicationStopSeconds (ceil $drain) 10 }}
{{- end }}
