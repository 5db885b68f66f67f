{{/* The upgrader's own settings. They hold the proxy's password when the chart is given one, and are a Secret then. */}}

{{- define "harness-delegate.upgraderConfig" -}}
{{- $v := .Values -}}
{{- $config := dict
    "mode" "Delegate"
    "dryRun" false
    "workloadName" (include "harness-delegate.fullname" .)
    "namespace" .Release.Namespace
    "containerName" "delegate"
    "delegateConfig" (dict "accountId" $v.accountId "managerHost" $v.managerEndpoint)
-}}
{{- if $v.mTLS.secretName -}}
{{- $_ := set $config "clientCertificateFilePath" "/etc/mtls/client.crt" -}}
{{- $_ := set $config "clientCertificateKeyFilePath" "/etc/mtls/client.key" -}}
{{- end -}}
{{- range $key, $value := dict "registryMirror" $v.upgrader.registryMirror "proxyHost" $v.proxyHost
    "proxyPort" $v.proxyPort "proxyScheme" $v.proxyScheme -}}
{{- if $value -}}
{{- $_ := set $config $key $value -}}
{{- end -}}
{{- end -}}
{{- if include "harness-delegate.proxySecretData" . -}}
{{- with $v.proxyUser -}}
{{- $_ := set $config "proxyUser" (b64dec .) -}}
{{- end -}}
{{- with $v.proxyPassword -}}
{{- $_ := set $config "proxyPassword" (b64dec .) -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The Secret of the chart's own that holds UPGRADER_TOKEN, when there is one. */}}
{{- define "harness-delegate.ownUpgraderSecret" -}}
{{- if not (or .Values.upgrader.existingUpgraderToken .Values.existingDelegateToken) -}}
{{- printf "%s-upgrader-token" (include "harness-delegate.fullname" .) -}}
{{- end -}}
{{- end -}}
