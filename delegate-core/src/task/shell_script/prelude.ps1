# Runs the script; at its end, whatever brings it about, the wanted variables are written down.
try {
  . @SCRIPT@
} finally {
  $__hd = 'begin' + [char]0
  foreach ($__hd_name in @(@NAMES@)) {
    $__hd_value = Get-Variable -Name $__hd_name -ValueOnly -ErrorAction SilentlyContinue
    if ($null -eq $__hd_value) { $__hd_value = [Environment]::GetEnvironmentVariable($__hd_name) }
    if ($null -ne $__hd_value) { $__hd += $__hd_name + '=' + [string]$__hd_value + [char]0 }
  }
  [IO.File]::AppendAllText(@FILE@, $__hd + 'end' + [char]0)
}
