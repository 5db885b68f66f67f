{{/* The data of the ConfigMaps and Secrets that become the delegate's environment. Each is built as a map, so that every
     value is a string whatever its type in the values, and quoted where YAML needs it. */}}

{{- define "harness-delegate.env" -}}
{{- $v := .Values -}}
{{- $manager := regexReplaceAll "/+$" (trim ($v.managerEndpoint | default "")) "" -}}
{{- $env := dict
    "ACCOUNT_ID" ($v.accountId | default "" | trim)
    "MANAGER_HOST_AND_PORT" $manager
    "LOG_STREAMING_SERVICE_URL" ($v.logStreamingServiceUrl | default (printf "%s/log-service/" $manager))
    "DELEGATE_NAME" $v.delegateName
    "DELEGATE_DESCRIPTION" ($v.description | default "")
    "DELEGATE_TAGS" ($v.tags | default "")
    "DELEGATE_TYPE" $v.delegateType
    "DELEGATE_NAMESPACE" .Release.Namespace
    "DEPLOY_MODE" $v.deployMode
    "NEXT_GEN" (toString $v.nextGen)
    "POLL_FOR_TASKS" (toString $v.pollForTasks)
    "INIT_SCRIPT" ($v.initScript | default "")
    "JAVA_OPTS" ($v.javaOpts | default "")
    "CLIENT_TOOLS_DOWNLOAD_DISABLED" "true"
    "DELEGATE_GRACE_PERIOD_SECONDS" (include "harness-delegate.drainSeconds" .)
-}}
{{- if eq (toString $v.nextGen) "false" -}}
{{- $_ := set $env "DELEGATE_GROUP_NAME" $v.delegateName -}}
{{- end -}}
{{- with $v.destinationCaPath -}}
{{- $_ := set $env "DESTINATION_CA_PATH" . -}}
{{- end -}}
{{- if $v.mTLS.secretName -}}
{{- $_ := set $env "DELEGATE_CLIENT_CERTIFICATE_PATH" "/etc/mtls/client.crt" -}}
{{- $_ := set $env "DELEGATE_CLIENT_CERTIFICATE_KEY_PATH" "/etc/mtls/client.key" -}}
{{- end -}}
{{- if $v.ztsUrl -}}
{{- $_ := set $env "ZTS_URL" $v.ztsUrl -}}
{{- $_ := set $env "ZTS_ENFORCE" (ternary "true" (toString $v.ztsEnforce) (kindIs "invalid" $v.ztsEnforce)) -}}
{{- if not (kindIs "invalid" $v.ztsTimeoutSeconds) -}}
{{- $_ := set $env "ZTS_TIMEOUT_SECONDS" (toString $v.ztsTimeoutSeconds) -}}
{{- end -}}
{{- if not (kindIs "invalid" $v.ztsRetryCount) -}}
{{- $_ := set $env "ZTS_RETRY_COUNT" (toString $v.ztsRetryCount) -}}
{{- end -}}
{{- end -}}
{{- toYaml $env -}}
{{- end -}}

{{/* How long the delegate lets its tasks run on: shorter than the pod's own grace, so that it can still end what is left and
     report it before it is killed itself. */}}
{{- define "harness-delegate.drainSeconds" -}}
{{- $grace := int .Values.terminationGracePeriodSeconds -}}
{{- max (sub $grace 10) (div $grace 2) -}}
{{- end -}}

{{/* Empty when the token is in a Secret of somebody else. */}}
{{- define "harness-delegate.tokenData" -}}
{{- if not .Values.existingDelegateToken -}}
DELEGATE_TOKEN: {{ .Values.delegateToken | default "" | trim | b64enc | quote }}
{{- end -}}
{{- end -}}

{{- define "harness-delegate.proxyEnv" -}}
{{- $env := dict -}}
{{- range $name, $value := dict "PROXY_HOST" .Values.proxyHost "PROXY_PORT" .Values.proxyPort
    "PROXY_SCHEME" .Values.proxyScheme "NO_PROXY" .Values.noProxy -}}
{{- if $value -}}
{{- $_ := set $env $name (toString $value) -}}
{{- end -}}
{{- end -}}
{{- if $env -}}
{{- toYaml $env -}}
{{- end -}}
{{- end -}}

{{/* The values are base64 already. Empty when there are none, or they are in a Secret of somebody else. */}}
{{- define "harness-delegate.proxySecretData" -}}
{{- $data := dict -}}
{{- if not .Values.existingProxySecret -}}
{{- with .Values.proxyUser -}}
{{- $_ := set $data "PROXY_USER" . -}}
{{- end -}}
{{- with .Values.proxyPassword -}}
{{- $_ := set $data "PROXY_PASSWORD" . -}}
{{- end -}}
{{- end -}}
{{- if $data -}}
{{- toYaml $data -}}
{{- end -}}
{{- end -}}

{{- define "harness-delegate.sharedCertificatesEnv" -}}
{{- $shared := .Values.shared_certificates -}}
{{- if $shared.ci_mount_targets -}}
{{- $mounts := list -}}
{{- range $shared.ci_mount_targets -}}
{{- $mounts = append $mounts (printf "%s:%s" $shared.certs_path .) -}}
{{- end -}}
{{- toYaml (dict "ADDITIONAL_CERTS_PATH" $shared.certs_path "CI_MOUNT_VOLUMES" (join "," $mounts)) -}}
{{- end -}}
{{- end -}}
