{{/* What things are called. A delegate's objects all start with one name, which is also the name of its Deployment. */}}

{{- define "harness-delegate.fullname" -}}
{{- .Values.fullnameOverride | default .Values.delegateName | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The value of the labels that select the pods. It is delegateName even under fullnameOverride: a selector cannot be
     changed, and the official chart has it so. */}}
{{- define "harness-delegate.labelName" -}}
{{- .Values.delegateName | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "harness-delegate.serviceAccountName" -}}
{{- $made := ternary (include "harness-delegate.fullname" .) "default" .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default $made -}}
{{- end -}}

{{- define "harness-delegate.tokenSecret" -}}
{{- .Values.existingDelegateToken | default (include "harness-delegate.fullname" .) -}}
{{- end -}}

{{- define "harness-delegate.upgraderJob" -}}
{{- .Values.upgrader.jobName | default (printf "%s-upgrader-job" (include "harness-delegate.fullname" .)) -}}
{{- end -}}

{{- define "harness-delegate.upgraderServiceAccount" -}}
{{- printf "%s-%s" (include "harness-delegate.fullname" .) .Values.upgrader.cronJobServiceAccountName -}}
{{- end -}}

{{/* Input: a dict of parts (registry, repository, tag), whole (a reference), and the repository and tag to fall back to. */}}
{{- define "harness-delegate.imageReference" -}}
{{- $parts := .parts | default dict -}}
{{- if and .whole (not $parts.repository) -}}
{{- .whole -}}
{{- else -}}
{{- with $parts.registry }}{{ . | trimSuffix "/" }}/{{ end -}}
{{- $parts.repository | default .repository -}}:{{- $parts.tag | default .tag -}}
{{- end -}}
{{- end -}}

{{- define "harness-delegate.image" -}}
{{- include "harness-delegate.imageReference" (dict "parts" .Values.image "whole" .Values.delegateDockerImage
    "repository" "harness-delegate" "tag" .Chart.AppVersion) -}}
{{- end -}}

{{- define "harness-delegate.upgraderImage" -}}
{{- include "harness-delegate.imageReference" (dict "parts" .Values.upgrader.image
    "whole" .Values.upgrader.upgraderDockerImage "repository" "upgrader" "tag" "latest") -}}
{{- end -}}
