# The module as it is, in a real cluster, with the chart that the provider brings. The cluster is that of KUBE_CONFIG_PATH;
# the account, the token and so on come as variables of the environment (TF_VAR_account_id, …).

variables {
  helm_repository  = ""
  upgrader_enabled = false
  values           = "minReadySeconds: 0\n"
}

run "a_delegate_is_installed_and_connects" {
  assert {
    condition     = output.connected
    error_message = "the delegate is not connected"
  }
}

run "applied_again_nothing_changes" {
  command = plan

  assert {
    condition     = output.id == run.a_delegate_is_installed_and_connects.id && harness_delegate.this.connected
    error_message = "the second plan is not empty"
  }
}
