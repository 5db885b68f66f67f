resource "harness_delegate_token" "team_a" {
  name = "team-a-2030"
}

# By `id`, which is unknown until the token exists: one apply makes the token and the delegate.
ephemeral "harness_delegate_token" "team_a" {
  id = harness_delegate_token.team_a.id
}

resource "harness_delegate" "team_a" {
  name             = "team-a"
  token_wo         = ephemeral.harness_delegate_token.team_a.value
  token_wo_version = 1

  helm = {}
}
