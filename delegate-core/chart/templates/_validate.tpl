{{/* What values.schema.json cannot say: values that depend on one another, and secrets, which a schema's error would print.
     All that is wrong is said at once, each line naming the key. */}}

{{- define "harness-delegate.validate" -}}
{{- $v := .Values -}}
{{- $name := include "harness-delegate.fullname" . -}}
{{- $wrong := list -}}

{{- if not (trim ($v.accountId | default "")) -}}
{{- $wrong = append $wrong "accountId is missing: set it to the account that the delegate belongs to" -}}
{{- end -}}

{{- $token := trim ($v.delegateToken | default "") -}}
{{- $hex := "^[0-9a-fA-F]{32}$" -}}
{{- if not $v.existingDelegateToken -}}
{{- if not $token -}}
{{- $wrong = append $wrong "delegateToken is missing: set it, or set existingDelegateToken to the name of a Secret with the key DELEGATE_TOKEN" -}}
{{- else if not (or (regexMatch $hex $token) (regexMatch $hex (trim (b64dec $token)))) -}}
{{- $wrong = append $wrong "delegateToken is not a delegate token: it has 32 hexadecimal digits, or is the base64 form of them that the product shows (value not printed)" -}}
{{- end -}}
{{- end -}}

{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- $key := ternary "fullnameOverride" "delegateName" (not (empty $v.fullnameOverride)) -}}
{{- $wrong = append $wrong (printf "%s %q cannot name Kubernetes objects: use a-z, 0-9 and \"-\", beginning and ending with a letter or digit%s" $key $name (ternary "" ", or set fullnameOverride" (eq $key "fullnameOverride"))) -}}
{{- else if not (regexMatch "^[a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?$" (include "harness-delegate.labelName" .)) -}}
{{- $wrong = append $wrong (printf "delegateName %q cannot be the value of a label: use letters, digits, \"-\", \"_\" and \".\", beginning and ending with a letter or digit" $v.delegateName) -}}
{{- end -}}

{{- range $key := list "proxyUser" "proxyPassword" -}}
{{- $value := get $v $key | default "" -}}
{{- if ne $value (b64enc (b64dec $value)) -}}
{{- $wrong = append $wrong (printf "%s is not base64: encode it first (printf %%s \"$VALUE\" | base64 -w0), or put it into a Secret and name that in existingProxySecret (value not printed)" $key) -}}
{{- end -}}
{{- end -}}
{{- if and (or $v.proxyUser $v.proxyPassword $v.existingProxySecret) (not $v.proxyHost) -}}
{{- $wrong = append $wrong "proxyHost is missing: there are credentials for a proxy, but no proxy" -}}
{{- end -}}
{{- if and $v.proxyHost (not $v.proxyPort) -}}
{{- $wrong = append $wrong "proxyPort is missing: proxyHost needs it" -}}
{{- end -}}

{{- if and (regexMatch "^[A-Z][A-Z_]*$" $v.k8sPermissionsType) (not (has $v.k8sPermissionsType (list "CLUSTER_ADMIN" "CLUSTER_VIEWER" "NAMESPACE_ADMIN"))) -}}
{{- $wrong = append $wrong (printf "k8sPermissionsType %q is not known: use CLUSTER_ADMIN, CLUSTER_VIEWER, NAMESPACE_ADMIN or the name of a Role" $v.k8sPermissionsType) -}}
{{- end -}}

{{- $context := include "harness-delegate.securityContext" . | fromYaml -}}
{{- if and $context.runAsNonRoot (eq (toString $context.runAsUser) "0") -}}
{{- $wrong = append $wrong "delegate.securityContext contradicts itself: runAsNonRoot is true and runAsUser is 0" -}}
{{- end -}}

{{- if and $v.delegateDockerImage (not $v.image.repository) (or $v.image.registry $v.image.tag) -}}
{{- $wrong = append $wrong "image.registry and image.tag have no effect on delegateDockerImage: set image.repository too, or put them into delegateDockerImage" -}}
{{- end -}}

{{- if $v.autoscaling.enabled -}}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) -}}
{{- $wrong = append $wrong "autoscaling.minReplicas is greater than autoscaling.maxReplicas" -}}
{{- end -}}
{{- if not (or $v.autoscaling.targetCPUUtilizationPercentage $v.autoscaling.targetMemoryUtilizationPercentage) -}}
{{- $wrong = append $wrong "autoscaling has nothing to go by: set autoscaling.targetCPUUtilizationPercentage or autoscaling.targetMemoryUtilizationPercentage" -}}
{{- end -}}
{{- end -}}

{{- if and $v.networkPolicy.enabled (not $v.networkPolicy.restrictIngress) (not $v.networkPolicy.egress) -}}
{{- $wrong = append $wrong "networkPolicy restricts nothing: set networkPolicy.restrictIngress or networkPolicy.egress, or networkPolicy.enabled=false" -}}
{{- end -}}

{{- if and $v.dind.enabled (semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version) -}}
{{- $wrong = append $wrong (printf "dind.enabled needs Kubernetes 1.29, which can keep the engine until the delegate has drained, and this is %s: set dind.enabled=false, and give the delegate an engine by DOCKER_HOST in custom_envs" .Capabilities.KubeVersion.Version) -}}
{{- end -}}

{{- if $v.upgrader.enabled -}}
{{- $job := include "harness-delegate.upgraderJob" . -}}
{{- if gt (len $job) 52 -}}
{{- $wrong = append $wrong (printf "upgrader.jobName %q has %d characters, and a CronJob's name may have 52: set upgrader.jobName, or use a delegateName of at most 39" $job (len $job)) -}}
{{- end -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "\n\nthe values of chart %s need a change:\n  - %s\n" .Chart.Name (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}
