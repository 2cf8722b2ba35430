{{- define "crossrec.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "crossrec.image" -}}
{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end -}}

{{- /* Labels that select; takes root and component. */ -}}
{{- define "crossrec.selector" -}}
app.kubernetes.io/name: crossrec
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "crossrec.labels" -}}
{{ include "crossrec.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{- define "crossrec.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "crossrec.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "crossrec.claim" -}}
{{ .Values.models.existingClaim | default (printf "%s-models" (include "crossrec.name" .)) }}
{{- end -}}

{{- /* Environment of a process; takes root, own (what the component sets) and extra (its env value). Later ones win. */ -}}
{{- define "crossrec.env" -}}
{{- $values := .root.Values -}}
{{- $all := dict
  "CROSSREC_CONFIG" "/etc/crossrec/crossrec.toml"
  "CROSSREC_KAFKA__BOOTSTRAP_SERVERS" $values.kafka.bootstrapServers
  "CROSSREC_KAFKA__TOPIC_PREFIX" $values.kafka.topicPrefix
  "CROSSREC_KAFKA__PARTITIONS" ($values.kafka.partitions | toString)
  "CROSSREC_KAFKA__REPLICATION_FACTOR" ($values.kafka.replicationFactor | toString)
  "CROSSREC_REGISTRY_DIR" ($values.models.url | default "/models/registry")
  "CROSSREC_ENCODER_DIR" "/models/encoder"
  "CROSSREC_STORE__URL" $values.store.url -}}
{{- $all = mergeOverwrite $all (.own | default dict) $values.env (.extra | default dict) -}}
{{- range $values.secretEnv }}{{ $_ := unset $all .name }}{{ end -}}
{{- range $name := keys $all | sortAlpha }}
- {name: {{ $name }}, value: {{ get $all $name | toString | quote }}}
{{- end }}
{{- range $values.secretEnv }}
- {name: {{ .name }}, valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}}}
{{- end }}
{{- end -}}

{{- define "crossrec.mounts" -}}
- {name: data, mountPath: /var/lib/crossrec/data}
- {name: tmp, mountPath: /tmp}
- {name: config, mountPath: /etc/crossrec/crossrec.toml, subPath: crossrec.toml, readOnly: true}
{{- range .Values.files }}
- {name: {{ .name }}, mountPath: {{ .path }}, readOnly: true}
{{- end }}
{{- end -}}

{{- /* Takes root, config (name of the ConfigMap) and models (whether the volume is mounted). */ -}}
{{- define "crossrec.volumes" -}}
- {name: data, emptyDir: {}}
- {name: tmp, emptyDir: {}}
- {name: config, configMap: {name: {{ .config }}}}
{{- if .models }}
- {name: models, persistentVolumeClaim: {claimName: {{ include "crossrec.claim" .root }}, readOnly: true}}
{{- end }}
{{- range .root.Values.files }}
- name: {{ .name }}
  {{- if .secret }}
  secret: {secretName: {{ .secret }}, defaultMode: 0440}
  {{- else }}
  configMap: {name: {{ .configMap }}}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* What all pods have in common; takes root. */ -}}
{{- define "crossrec.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.serviceAccountName }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "crossrec.podSecurity" . | nindent 2 }}
{{- end -}}

{{- /* Where pods go; takes placement (a component's values), root and component. */ -}}
{{- define "crossrec.placement" -}}
{{- with .placement.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .placement.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .placement.affinity }}
affinity: {{ toJson . }}
{{- end }}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "crossrec.selector" $ | nindent 8 }}
  {{- end }}
{{- end -}}

{{- /* Whether a gRPC server is ready; takes the component's values. */ -}}
{{- define "crossrec.ready" -}}
{{- if eq .readiness "http" -}}
httpGet: {path: /ready, port: metrics}
{{- else if eq .readiness "grpc" -}}
grpc: {port: {{ .port }}}
{{- else -}}
exec:
  command: {{ toJson (concat (list "python" "-m" "services.server.health" (printf "127.0.0.1:%v" .port)) .healthArguments) }}
{{- end -}}
{{- end -}}

{{- /* A Deployment; takes root, component, args, own (environment), extra, values (replicas, resources, autoscaling),
     placement, grace, ports (name to number), models ("", mount, or copy: the encoder's cache is written), probes. */ -}}
{{- define "crossrec.deployment" -}}
{{- $name := include "crossrec.name" .root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}-{{ .component }}
  labels:
    {{- include "crossrec.labels" . | nindent 4 }}
spec:
  {{- if not .scaled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  strategy:
    rollingUpdate: {{ toJson .rollout }}
  selector:
    matchLabels:
      {{- include "crossrec.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "crossrec.labels" . | nindent 8 }}
        {{- with .root.Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        checksum/config: {{ .root.Values.config | sha256sum }}
        {{- with .root.Values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "crossrec.pod" .root | nindent 6 }}
      terminationGracePeriodSeconds: {{ .grace }}
      {{- if eq .models "copy" }}
      initContainers:
        - name: encoder
          image: {{ include "crossrec.image" .root }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          command: [cp, -RT, /models/encoder, /var/lib/crossrec/data/encoder]
          securityContext:
            {{- include "crossrec.containerSecurity" .root | nindent 12 }}
          resources: {requests: {cpu: 100m, memory: 32Mi}, limits: {memory: 256Mi}}
          volumeMounts:
            - {name: models, mountPath: /models, readOnly: true}
            - {name: data, mountPath: /var/lib/crossrec/data}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "crossrec.image" .root }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args: {{ toJson .args }}
          env:
            {{- include "crossrec.env" . | trim | nindent 12 }}
          {{- with .root.Values.envFrom }}
          envFrom:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            {{- range $port, $number := .ports }}
            - {name: {{ $port }}, containerPort: {{ $number }}}
            {{- end }}
          {{- .probes | nindent 10 }}
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            {{- include "crossrec.containerSecurity" .root | nindent 12 }}
          volumeMounts:
            {{- include "crossrec.mounts" .root | nindent 12 }}
            {{- if .models }}
            - {name: models, mountPath: /models, readOnly: true}
            {{- end }}
      volumes:
        {{- include "crossrec.volumes" (dict "root" .root "config" $name "models" .models) | nindent 8 }}
      {{- include "crossrec.placement" . | nindent 6 }}
{{- end -}}
