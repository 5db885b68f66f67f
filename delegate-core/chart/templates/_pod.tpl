{{/* Parts of the delegate's pod that need deciding: who it runs as, what it may write to, what is mounted. */}}

{{/* What the container runs as; see delegate.securityContext in values.yaml. */}}
{{- define "harness-delegate.securityContext" -}}
{{- $newer := (.Values.delegate | default dict).securityContext | default dict -}}
{{- $given := merge (deepCopy $newer) (.Values.delegateSecurityContext | default dict) -}}
{{- $uid := ternary 0 1001 (eq (toString (.Values.securityContext | default dict).runAsRoot) "true") -}}
{{- if hasKey $given "runAsUser" -}}
{{- $uid = $given.runAsUser -}}
{{- end -}}
{{- $context := dict "allowPrivilegeEscalation" false "runAsUser" $uid -}}
{{- if ne (toString $uid) "0" -}}
{{- $context = merge $context (dict
    "runAsGroup" 0
    "runAsNonRoot" true
    "readOnlyRootFilesystem" true
    "capabilities" (dict "drop" (list "ALL"))
    "seccompProfile" (dict "type" "RuntimeDefault")) -}}
{{- end -}}
{{- range $key, $value := $given -}}
{{- $_ := set $context $key $value -}}
{{- end -}}
{{- range $key, $value := $context -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $context $key -}}
{{- end -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "harness-delegate.podSecurityContext" -}}
{{- $newer := ((.Values.delegate | default dict).pod | default dict).securityContext | default dict -}}
{{- with merge (deepCopy (.Values.delegatePodSecurityContext | default dict)) $newer -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{/* Which of the scratch folders this pod needs from us, as a map: mountTmp, mountWork, setWorkingDir, setHome. */}}
{{- define "harness-delegate.scratch" -}}
{{- $readOnly := (include "harness-delegate.securityContext" . | fromYaml).readOnlyRootFilesystem | default false -}}
{{- $paths := list -}}
{{- range .Values.custom_mounts -}}
{{- $paths = append $paths (.mountPath | trimSuffix "/") -}}
{{- end -}}
{{- $names := list -}}
{{- range .Values.custom_envs -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- $work := and $readOnly (not (has "WORKING_DIR" $names)) -}}
mountTmp: {{ and $readOnly (not (has "/tmp" $paths)) }}
mountWork: {{ and $work (not (has (.Values.scratch.workingDir | trimSuffix "/") $paths)) }}
setWorkingDir: {{ $work }}
setHome: {{ and $work (not (has "HOME" $names)) }}
{{- end -}}

{{- define "harness-delegate.containerEnv" -}}
{{- $scratch := include "harness-delegate.scratch" . | fromYaml -}}
{{- $env := list -}}
{{- if $scratch.setWorkingDir -}}
{{- $env = append $env (dict "name" "WORKING_DIR" "value" .Values.scratch.workingDir) -}}
{{- end -}}
{{- if $scratch.setHome -}}
{{- $env = append $env (dict "name" "HOME" "value" .Values.scratch.workingDir) -}}
{{- end -}}
{{- $given := list -}}
{{- range .Values.custom_envs -}}
{{- $given = append $given .name -}}
{{- end -}}
{{- if and .Values.dind.enabled (not (has "DOCKER_HOST" $given)) -}}
{{- $env = append $env (dict "name" "DOCKER_HOST" "value" (include "harness-delegate.dindHost" .)) -}}
{{- end -}}
{{- range .Values.custom_envs -}}
{{- $env = append $env . -}}
{{- end -}}
{{- if $env -}}
{{- toYaml $env -}}
{{- end -}}
{{- end -}}

{{/* Volumes and their mounts, side by side, so that neither is forgotten: a map of the two lists. */}}
{{- define "harness-delegate.storage" -}}
{{- $v := .Values -}}
{{- $name := include "harness-delegate.fullname" . -}}
{{- $scratch := include "harness-delegate.scratch" . | fromYaml -}}
{{- $emptyDir := dict -}}
{{- with $v.scratch.sizeLimit -}}
{{- $_ := set $emptyDir "sizeLimit" . -}}
{{- end -}}
{{- $secretMode := include "harness-delegate.secretMode" . | int -}}
{{- $volumes := list -}}
{{- $mounts := list -}}
{{- if $scratch.mountTmp -}}
{{- $volumes = append $volumes (dict "name" "delegate-tmp" "emptyDir" $emptyDir) -}}
{{- $mounts = append $mounts (dict "name" "delegate-tmp" "mountPath" "/tmp") -}}
{{- end -}}
{{- if $scratch.mountWork -}}
{{- $volumes = append $volumes (dict "name" "delegate-work" "emptyDir" $emptyDir) -}}
{{- $mounts = append $mounts (dict "name" "delegate-work" "mountPath" $v.scratch.workingDir) -}}
{{- end -}}
{{- with $v.delegateCustomCa.secretName -}}
{{- $volumes = append $volumes (dict "name" "custom-ca" "secret" (dict "secretName" . "defaultMode" $secretMode)) -}}
{{- $mounts = append $mounts (dict "name" "custom-ca" "mountPath" "/opt/harness-delegate/ca-bundle/" "readOnly" true) -}}
{{- end -}}
{{- with $v.mTLS.secretName -}}
{{- $volumes = append $volumes (dict "name" "client-certificate" "secret" (dict "secretName" . "defaultMode" $secretMode)) -}}
{{- $mounts = append $mounts (dict "name" "client-certificate" "mountPath" "/etc/mtls" "readOnly" true) -}}
{{- end -}}
{{- if $v.shared_certificates.ca_bundle -}}
{{- $volumes = append $volumes (dict "name" "shared-certificates" "secret"
    (dict "secretName" (printf "%s-addcerts" $name) "defaultMode" $secretMode)) -}}
{{- $mounts = append $mounts (dict "name" "shared-certificates" "mountPath" $v.shared_certificates.certs_path
    "subPath" "ca.bundle" "readOnly" true) -}}
{{- end -}}
{{- if $v.dind.enabled -}}
{{- $volumes = concat $volumes (include "harness-delegate.dindVolumes" . | fromYamlArray) -}}
{{- $mounts = append $mounts (include "harness-delegate.dindMount" . | fromYaml) -}}
{{- end -}}
{{- toYaml (dict "volumes" (concat $volumes ($v.custom_volumes | default list))
    "mounts" (concat $mounts ($v.custom_mounts | default list))) -}}
{{- end -}}

{{/* 0440, in decimal: readable by owner and group. YAML's two versions read a leading zero differently, a decimal number
     they read alike. */}}
{{- define "harness-delegate.secretMode" -}}
288
{{- end -}}

{{- define "harness-delegate.resources" -}}
{{- if .Values.resources -}}
{{- toYaml .Values.resources -}}
{{- else -}}
{{- $memory := printf "%vMi" .Values.memory -}}
{{- toYaml (dict "limits" (dict "memory" $memory) "requests" (dict "cpu" (toString .Values.cpu) "memory" $memory)) -}}
{{- end -}}
{{- end -}}

{{/* Input: the settings of one probe. */}}
{{- define "harness-delegate.probe" -}}
{{- $http := dict "path" "/api/health" "port" 3460 "scheme" "HTTP" -}}
{{- toYaml (merge (dict "httpGet" $http) .) -}}
{{- end -}}

{{- define "harness-delegate.topologySpread" -}}
{{- $constraints := list -}}
{{- $own := dict "labelSelector" (dict "matchLabels" (include "harness-delegate.selectorLabels" . | fromYaml)) -}}
{{- range .Values.topologySpreadConstraints -}}
{{- $constraints = append $constraints (merge (deepCopy .) (ternary dict $own (hasKey . "labelSelector"))) -}}
{{- end -}}
{{- toYaml $constraints -}}
{{- end -}}
