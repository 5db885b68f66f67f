{{/* Labels, annotations and the metadata block of every object. Maps are merged as maps, so that a label given twice is
     one label, and rendered sorted. */}}

{{/* The labels that select the pods. Never add one: the selector of a Deployment cannot be changed. */}}
{{- define "harness-delegate.selectorLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/name: {{ include "harness-delegate.labelName" . }}
harness.io/name: {{ include "harness-delegate.labelName" . }}
{{- end -}}

{{/* Input: a dict of root and maps (a list; the first one that has a key wins). Values may be templates. */}}
{{- define "harness-delegate.mergedMap" -}}
{{- $all := dict -}}
{{- range .maps -}}
{{- $all = merge $all (deepCopy (. | default dict)) -}}
{{- end -}}
{{- if $all -}}
{{- tpl (toYaml $all) .root -}}
{{- end -}}
{{- end -}}

{{/* Input: a dict of root, name, and optionally labels and annotations (maps of this object alone) and cluster (true: the
     object has no namespace). */}}
{{- define "harness-delegate.metadata" -}}
{{- $values := .root.Values -}}
{{- $fixed := include "harness-delegate.selectorLabels" .root | fromYaml -}}
{{- $chart := printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- $managed := dict "helm.sh/chart" $chart "app.kubernetes.io/managed-by" .root.Release.Service -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ .root.Release.Namespace }}
{{- end }}
labels:
  {{- include "harness-delegate.mergedMap" (dict "root" .root
      "maps" (list $fixed $managed .labels $values.additionalLabels $values.commonLabels)) | nindent 2 }}
{{- with include "harness-delegate.mergedMap" (dict "root" .root "maps" (list .annotations $values.commonAnnotations)) }}
annotations:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The pods carry no label that changes with the chart's version: a new chart alone must not replace them. */}}
{{- define "harness-delegate.podLabels" -}}
{{- $fixed := include "harness-delegate.selectorLabels" . | fromYaml -}}
{{- include "harness-delegate.mergedMap" (dict "root" . "maps" (list $fixed .Values.delegatePodLabels
    .Values.delegateLabels .Values.additionalLabels .Values.commonLabels)) -}}
{{- end -}}

{{/* The checksums replace the pods when what they read at their start changes. They cover data alone, not labels. The token
     and the proxy's password share one: the token's randomness keeps the password from being guessed by its hash. */}}
{{- define "harness-delegate.podAnnotations" -}}
{{- $secrets := printf "%s\n%s" (include "harness-delegate.tokenData" .) (include "harness-delegate.proxySecretData" .) -}}
{{- $config := list (include "harness-delegate.env" . | fromYaml) (include "harness-delegate.proxyEnv" . | fromYaml)
    (include "harness-delegate.sharedCertificatesEnv" . | fromYaml) -}}
{{- $sums := dict "checksum/secret" (sha256sum $secrets) "checksum/configmap" (sha256sum (toJson $config)) -}}
{{- with .Values.shared_certificates.ca_bundle -}}
{{- $_ := set $sums "checksum/certificates" (sha256sum .) -}}
{{- end -}}
{{- with .Values.delegateTokenChecksum -}}
{{- $_ := set $sums "checksum/delegate-token" (toString .) -}}
{{- end -}}
{{- include "harness-delegate.mergedMap" (dict "root" . "maps" (list $sums .Values.annotations
    .Values.delegateAnnotations .Values.commonAnnotations)) -}}
{{- end -}}
