variable "delegate_token" {
  description = "Delegate token, as the manager shows it."
  type        = string
  sensitive   = true
}

# For example { encoding = "base64", hint = "1f2e…9a8b" }
output "token" {
  value = nonsensitive(provider::harness::decode_token_hint(var.delegate_token))
}
