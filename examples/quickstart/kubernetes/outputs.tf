output "delegate" {
  description = "The delegate, as the provider sees it."
  value = {
    id             = harness_delegate.this.id
    connected      = harness_delegate.this.connected
    ready_replicas = harness_delegate.this.ready_replicas
    version        = harness_delegate.this.version
  }
}
