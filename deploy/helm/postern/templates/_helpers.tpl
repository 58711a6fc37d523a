{{/* The name of the release's objects. */}}
{{- define "postern.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* What selects the pods of a service; never changes. Takes (dict "root" $ "component" "ingress"). */}}
{{- define "postern.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "postern.labels" -}}
{{ include "postern.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "postern.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "postern.fullname" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "postern.redisSecret" -}}
{{ .Values.redis.existingSecret | default (printf "%s-redis" (include "postern.fullname" .)) }}
{{- end }}

{{/* postern.yaml: the values, and what the chart knows better. The health port is free on the network of a host, too. */}}
{{- define "postern.config" -}}
{{- $admin := dict "address" "0.0.0.0" "port" 8025 -}}
{{- if .Values.admin.existingSecret }}{{ $_ := set $admin "token" "${POSTERN_ADMIN_TOKEN}" }}{{ end -}}
{{- $own := dict "data" "/var/lib/postern" "redis" (dict "url" "${POSTERN_REDIS_URL}") "health" (dict "address" "0.0.0.0" "port" 9025) "admin" $admin -}}
{{- mergeOverwrite (deepCopy .Values.config) $own | toYaml }}
{{- end }}

{{/*
The pod of a service. Takes (dict "root" $ "component" "ingress" "values" .Values.ingress), and "transparent" for the network of
the host with CAP_NET_ADMIN.
*/}}
{{- define "postern.pod" -}}
{{- $root := .root -}}
{{- $grace := int $root.Values.graceSeconds -}}
{{- $stopDelay := ternary 5 0 (eq .component "ingress") -}}
metadata:
  labels:
    {{- include "postern.labels" . | nindent 4 }}
    {{- with $root.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "postern.config" $root | sha256sum }}
    {{- if not $root.Values.redis.existingSecret }}
    checksum/redis: {{ $root.Values.redis.url | sha256sum }}
    {{- end }}
    {{- with $root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "postern.serviceAccount" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  # Twice the grace time and some seconds: a server that has been sent a whole message is waited for.
  terminationGracePeriodSeconds: {{ add (mul 2 $grace) 15 $stopDelay }}
  {{- if .transparent }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  securityContext:
    {{- if .transparent }}
    runAsNonRoot: false
    {{- else }}
    runAsNonRoot: true
    runAsUser: 1000
    runAsGroup: 1000
    {{- end }}
    fsGroup: 1000
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  containers:
    - name: {{ .component }}
      image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}"
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      {{- if .transparent }}
      # Root keeps one capability, for transparent sockets, and becomes the user of the image.
      command:
        - setpriv
        - --reuid=node
        - --regid=node
        - --clear-groups
        - --inh-caps=-all,+net_admin
        - --ambient-caps=-all,+net_admin
        - --bounding-set=-all,+net_admin
        - postern
      {{- end }}
      args: [{{ .component }}, --grace, {{ $grace }}s{{ if has .component (list "ingress" "delivery") }}, --workers, {{ .values.workers | quote }}{{ end }}]
      env:
        {{- include "postern.environment" $root | nindent 8 }}
      {{- with $root.Values.extraEnvFrom }}
      envFrom: {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        {{- if eq .component "admin" }}
        - { name: http, containerPort: 8025 }
        {{- else }}
        - { name: health, containerPort: 9025 }
        {{- end }}
        {{- if and (eq .component "ingress") (not .transparent) }}
        {{- range .values.service.ports }}
        - { name: {{ .name }}, containerPort: {{ .targetPort }} }
        {{- end }}
        {{- end }}
      # Ready: it can do its work. Alive: it answers, whatever it answers; Redis away is no reason to restart.
      readinessProbe:
        httpGet: { path: /health, port: {{ ternary "http" "health" (eq .component "admin") }} }
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      livenessProbe:
        tcpSocket: { port: {{ ternary "http" "health" (eq .component "admin") }} }
        periodSeconds: 20
        timeoutSeconds: 5
        failureThreshold: 6
      startupProbe:
        tcpSocket: { port: {{ ternary "http" "health" (eq .component "admin") }} }
        periodSeconds: 2
        failureThreshold: 90
      {{- if gt $stopDelay 0 }}
      lifecycle:
        # The balancer stops sending connections before the listeners close.
        preStop: { exec: { command: [sleep, {{ $stopDelay | quote }}] } }
      {{- end }}
      securityContext:
        {{- if .transparent }}
        runAsUser: 0
        {{- end }}
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL]{{ if .transparent }}, add: [NET_ADMIN, SETUID, SETGID, SETPCAP]{{ end }} }
      resources: {{- toYaml .values.resources | nindent 8 }}
      volumeMounts:
        - { name: config, mountPath: /etc/postern, readOnly: true }
        - { name: spool, mountPath: /var/lib/postern }
        - { name: tmp, mountPath: /tmp }
    {{- if .transparent }}
    # The rules of the kernel: up while this container runs.
    - name: intercept
      image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}{{ .values.intercept.tagSuffix }}"
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [postern-intercept]
      env:
        {{- include "postern.environment" $root | nindent 8 }}
      {{- with $root.Values.extraEnvFrom }}
      envFrom: {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        runAsUser: 0
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL], add: [NET_ADMIN] }
      resources: {{- toYaml .values.intercept.resources | nindent 8 }}
      volumeMounts:
        - { name: config, mountPath: /etc/postern, readOnly: true }
        - { name: tmp, mountPath: /tmp }
        - { name: intercept, mountPath: /run/postern }
    {{- end }}
  volumes:
    - name: config
      configMap: { name: {{ include "postern.fullname" $root }} }
    - name: spool
      {{- if include "postern.hasStore" $root }}
      # The mail is in the store; here are copies of what the pod has written lately.
      emptyDir: {}
      {{- else }}
      persistentVolumeClaim: { claimName: {{ $root.Values.spool.existingClaim | default (include "postern.fullname" $root) }} }
      {{- end }}
    - name: tmp
      emptyDir: { medium: Memory, sizeLimit: 64Mi }
    {{- if .transparent }}
    - name: intercept
      hostPath: { path: /run/postern, type: DirectoryOrCreate }
    {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not .transparent }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "postern.selector" . | nindent 10 }}
  {{- end }}
{{- end }}

{{/* The port of the store's endpoint where it is not that of HTTPS, which is let out anyway. */}}
{{- define "postern.storePort" -}}
{{- with .Values.config.spool }}{{ with .s3 }}{{ with .endpoint }}
{{- $url := urlParse . -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (eq $url.scheme "http" | ternary "80" "") -}}
{{- end }}{{ end }}{{ end -}}
{{- end }}

{{/* Not empty when the spool is in an S3-compatible store, and needs no volume. */}}
{{- define "postern.hasStore" -}}
{{- with .Values.config.spool }}{{ if .s3 }}yes{{ end }}{{ end -}}
{{- end }}

{{- define "postern.environment" -}}
- name: POSTERN_REDIS_URL
  valueFrom: { secretKeyRef: { name: {{ include "postern.redisSecret" . }}, key: {{ .Values.redis.secretKey }} } }
{{- with .Values.admin.existingSecret }}
- name: POSTERN_ADMIN_TOKEN
  valueFrom: { secretKeyRef: { name: {{ . }}, key: {{ $.Values.admin.secretKey }} } }
{{- end }}
{{- end }}
