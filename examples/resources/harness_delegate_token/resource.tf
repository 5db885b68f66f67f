# A token of the account. A destroy revokes it; its value is not in the state.
resource "harness_delegate_token" "team_a" {
  name = "team-a-2030"
}

# A token of a project, which revokes itself.
resource "harness_delegate_token" "project" {
  name         = "team-a-trial"
  org_id       = "default"
  project_id   = "shop"
  revoke_after = "2030-01-31T00:00:00Z"
}
