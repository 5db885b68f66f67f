import {
  to = harness_delegate_token.team_a
  id = "team-a-2030"
}
