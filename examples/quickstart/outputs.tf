output "delegate" {
  description = "The delegate, as the provider sees it."
  value = {
    id        = harness_delegate.this.id
    connected = harness_delegate.this.connected
    version   = harness_delegate.this.version
  }
}
