# Counts test cases in the JUnit file of ctest: prints "PASSED FAILED SKIPPED" to stdout, skipped tests to stderr.
# cmocka's own summaries count where there are any; everything else is one test per ctest entry.

function attribute(line, name,    at) {
  at = index(line, " " name "=\"")
  if (!at) return ""
  line = substr(line, at + length(name) + 3)
  return substr(line, 1, index(line, "\"") - 1)
}

# The number before "test(s)".
function count(line) {
  sub(/ test\(s\).*/, "", line)
  sub(/.* /, "", line)
  return line + 0
}

function finish() {
  if (name == "") return
  if (status == "run" && !cases) passed++
  else if (status == "run") { passed += ok; failed += bad; skipped += left }
  else if (status == "fail") {
    # The last group may have died before its summary; its finished cases count, and what ended it is a failure.
    passed += ok + open_ok
    failed += bad > 0 ? bad : 1
    skipped += left
  } else if (message ~ /SKIP_/ || status == "disabled") {
    skipped++
    print "skipped: " name ": " (why != "" ? why : message) > "/dev/stderr"
  } else {
    failed++
    print "not run: " name ": " message > "/dev/stderr"
  }
}

/<testcase / {
  finish()
  name = attribute($0, "name"); status = attribute($0, "status")
  ok = bad = left = open_ok = cases = 0
  message = why = ""
}
/<skipped /                    { message = attribute($0, "message") }
/skip: /                       { why = $0; sub(/.*skip: /, "", why); sub(/<\/system-out>.*/, "", why); reason = why }
/\[       OK \] /              { open_ok++ }
/\[  PASSED  \] [0-9]+ test\(s\)/  { ok += count($0); open_ok = 0; cases = 1 }
/\[  FAILED  \] [0-9]+ test\(s\)/  { bad += count($0) }
/\[  SKIPPED \] [0-9]+ test\(s\)/  { left += count($0) }
/\[  SKIPPED \] [A-Za-z_]/     {
  line = $0
  sub(/.*\[  SKIPPED \] /, "", line)
  if (!((name, line) in seen)) print "skipped: " name ": " line (reason != "" ? ": " reason : "") > "/dev/stderr"
  seen[name, line] = 1
  reason = ""
}
END { finish(); print passed + 0, failed + 0, skipped + 0 }
