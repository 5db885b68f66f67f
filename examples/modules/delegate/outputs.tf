output "values" {
  description = "The values of the chart, merged, as YAML; without the token, and without user and password of the proxy."
  value       = yamlencode(local.shown)
  sensitive   = true # `values` is whatever the caller put there
}

# --- added ----------------------------------------------------------------------------------------------------------

output "id" {
  description = "Where the delegate is: helm/<context>/<namespace>/<release>."
  value       = harness_delegate.this.id
}

output "connected" {
  description = "Whether every replica says that it is connected."
  value       = harness_delegate.this.connected
}

output "token_version" {
  description = "Changes when the token does, and says nothing of it."
  value       = harness_delegate.this.token_wo_version
}
