# Every connected delegate with both tags, by whomever it was installed.
data "harness_delegates" "prod" {
  tags      = ["linux", "prod"]
  connected = true
}

output "versions" {
  value = {
    for delegate in data.harness_delegates.prod.delegates :
    delegate.name => distinct(delegate.replicas[*].version)
  }
}
