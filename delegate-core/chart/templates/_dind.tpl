{{/* The Docker engine beside the delegate. The two meet at a socket in a folder that both mount. */}}

{{- define "harness-delegate.dindFolder" -}}
/var/run/dind
{{- end -}}

{{- define "harness-delegate.dindHost" -}}
unix://{{ include "harness-delegate.dindFolder" . }}/docker.sock
{{- end -}}

{{/* The group of the pod's files may use the socket: the delegate is in it, whoever it runs as. */}}
{{- define "harness-delegate.dindGroup" -}}
{{- $pod := include "harness-delegate.podSecurityContext" . | fromYaml -}}
{{- $pod.fsGroup | default 0 | int64 -}}
{{- end -}}

{{- define "harness-delegate.dindVolumes" -}}
{{- $storage := dict -}}
{{- with .Values.dind.sizeLimit -}}
{{- $_ := set $storage "sizeLimit" . -}}
{{- end -}}
{{- toYaml (list
    (dict "name" "dind-socket" "emptyDir" dict)
    (dict "name" "dind-storage" "emptyDir" $storage)) -}}
{{- end -}}

{{- define "harness-delegate.dindMount" -}}
{{- toYaml (dict "name" "dind-socket" "mountPath" (include "harness-delegate.dindFolder" .)) -}}
{{- end -}}

{{/* An init container that stays: Kubernetes starts it before the delegate, and ends it when the delegate has drained, so
     that no build loses its engine. */}}
{{- define "harness-delegate.dindContainer" -}}
{{- $host := include "harness-delegate.dindHost" . -}}
name: dind
image: {{ .Values.dind.image | quote }}
imagePullPolicy: {{ .Values.dind.pullPolicy }}
restartPolicy: Always
args:
  - dockerd
  - --host={{ $host }}
  - --group={{ include "harness-delegate.dindGroup" . }}
  {{- with .Values.dind.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
env:
  - name: DOCKER_HOST
    value: {{ $host }}
securityContext:
  privileged: true
  runAsUser: 0
  runAsGroup: 0
  runAsNonRoot: false
# The delegate starts when it answers, or after two minutes never.
startupProbe:
  exec:
    command: [docker, version]
  periodSeconds: 1
  failureThreshold: 120
  timeoutSeconds: 5
{{- with .Values.dind.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {{ include "harness-delegate.dindMount" . | nindent 4 | trim }}
  - name: dind-storage
    mountPath: /var/lib/docker
{{- end -}}
