import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startScriptedServer } from '@baton-sdk/core/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { runExample, startExample, temporaryFolder } from './testing/run-example.ts'

/** What each program of the guide prints, in a folder with a passing test and some notes. Those that end in `.test.ts` are tests themselves. */
const printed: Record<string, RegExp> = {
  'steer.ts':
    /^ask ok add\nshell waits: this task is supervised, and the tool can run commands\nshell ok cleaned\n\[exit code 0\]\ndone It is called add now\.\n$/,
  'approvals.ts':
    /^denied: Not here\.\nalice is asked about shell: exactly "mkdir -p dist"\nruns, as alice approved it before\ndenied: Not here\.\nruns, as alice approved it before\nruns, as alice approved it before\nalice approved shell: exactly "mkdir -p dist"; revoked: true\n$/,
  'dial.ts':
    /^-one \+eins\nAlice accepted all[\s\S]*\n-two \+zwo\nAlice decided[\s\S]*-zwo\n\+zwei\nEdited notes\.md: 1 replacement[\s\S]*\ndone notes\.md modified\n$/,
  'suggestions.ts':
    /^older: given up\ncoder: a - b\nchat:\n@@ -1,3 \+1,1 @@\n-export function add\(a, b\) \{\n[\s\S]*\+export const add = [\s\S]*\nalice accepted\nalice edited\nidle 0 true\n$/,
  'delegate.ts':
    /^done: Looks fine\.\ndone: Looks fine\.\n2 model calls\nReview the (parser|printer)\. true\nReview the (parser|printer)\. true\n$/,
  'execution.ts': /^one\/slow HEDGED\ntwo\/quick \$0\.006 Hello!\ndone\nlimit costUsd tenant 0\.006\n$/,
  'follow-events.ts': /^said: Hello\.\n2 system driver\.claimed\n3 system run\.started\n[\s\S]*\d system run\.finished\nidle done\n$/,
  'plugin-event.ts': /^true coder https:\/\/preview\.example\.com\n$/,
  'tool.ts':
    /^invalid \| The input does not fit the tool "count_lines":\n- glob: expected a plain glob such as src\/\*\.ts \| undefined\nok \| 2 lines \| \{ lines: 2 \}\n$/,
  'sandbox.ts': /^isolation: (process|none)\nexited 3 hello from \S+\ntimeout\nkey:\nPATH_OUTSIDE_WORKDIR\n$/,
  'confidentiality.ts':
    /^confidential \[ \{ kind: 'secret', offset: 12, length: 15 \} \]\nrestricted\nsettings: confidential \[.*\]\ncloud\/model: failed, NO_ELIGIBLE_MODEL\nsettings: .*\nconnect: public \[\]\nredacted\/cloud\/model: done, Done\.\n$/,
  'routing.ts':
    /^code: cheap \(2 of 3 models; confidential [\s\S]*\n {2}- {2}cloud {3}not-cleared: [\s\S]*\ncode: strong [\s\S]*1\. strong {2}escalated: cheap was tried before: The check "npm test" failed [\s\S]*\nRenamed, in the tests too\.\n$/,
  'learned-routing.ts':
    /^code: small [\s\S]*expected-gain: right 85%[\s\S]*\ncode: large [\s\S]*\+67 points on small[\s\S]*\ncode: small [\s\S]*it is like no task that is known[\s\S]*\n43 tasks are known\n12% likely to be right\n$/,
  'cost.ts': /^price-unknown\ncheap 0\.0022 judge 0\.000108\nstrong 0\.0116\n\$0\.013908 of \$0\.05\n$/,
  'takeover.ts':
    /^CONTROL_HELD Task \S+: Alice has had control already\nI have seen your line\.\nWhat others did[\s\S]*Alice had control of the sandbox, … to … \(UTC\), and gave it back\.\nAlice says: Four is done\. Do not sort them\.\n\nFiles changed by Alice:\n- notes\.md \(modified, \+1 −0\)\n[\s\S]*\+four\n\nCommands they ran:\n- Alice: wc -l < notes\.md → exit code 0\n- Alice: grep -c five notes\.md → exit code 1\n- Alice: exit → exit code 1\nRuns that ended:\n$/,
  'undo.ts':
    /^coder modified notes\.md tool\nalice modified notes\.md desk\nai \[\{"start_line":1,"end_line":1\}\]\nhuman \[\{"start_line":3,"end_line":3\}\]\n\{ paths: \[ 'notes\.md' \], conflicts: \[\] \}\nundone: one \| two \| three, by hand\nrestored: ONE \| two\nfork: modified notes\.md\n$/,
  'release-agent.ts': /^releaser: The tests pass\. Releasing a minor version\.\nReleased a minor version\.\n$/,
}

const options = { timeout: 120_000 }

describe('examples/guide', options, () => {
  it('has no program that is not run', () => {
    const programs = readdirSync(join(import.meta.dirname, 'guide')).filter((name) => !name.endsWith('.test.ts'))
    expect(programs.sort()).toEqual([...Object.keys(printed), 'resume.ts'].sort())
  })

  it.each(Object.entries(printed))('%s prints what the guide says', async (file, expected) => {
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'notes.md'), 'one\ntwo\n')
    writeFileSync(join(cwd, 'passes.test.js'), "require('node:test')('passes', () => {})\n")
    const { code, stdout, stderr } = await runExample(join('guide', file), { cwd, env: { HOME: temporaryFolder() } })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(expected)
  })

  it('resume.ts goes on after it was killed', async () => {
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'notes.md'), 'one\ntwo\n')
    const asked = Promise.withResolvers<void>()
    const server = await startScriptedServer(({ turn }, call) => {
      if (turn === 0) return { toolCalls: [{ tool: 'read', input: { path: 'notes.md' } }] }
      asked.resolve()
      return call === 2 ? { text: 'Never heard.', stallAfter: 0 } : { text: 'It counts to two.' }
    })
    onTestFinished(() => server.close())
    const env = { OPENAI_BASE_URL: server.url, OPENAI_API_KEY: 'test-key' }
    const first = startExample('guide/resume.ts', { cwd, env })
    await asked.promise
    first.kill('SIGKILL')
    expect(await first.finished).toMatchObject({ code: null, stdout: 'beginning\n', stderr: '' })

    const { code, stdout, stderr } = await runExample('guide/resume.ts', { cwd, env })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^going on behind event \d+\ndone It counts to two\.\n$/)
    const [log] = readdirSync(join(cwd, '.baton/log')).filter((name) => name.endsWith('.jsonl'))
    const events = readFileSync(join(cwd, '.baton/log', log ?? ''), 'utf8')
    expect(events.match(/"type":"run\.started"/g)).toHaveLength(1)
    expect(events.match(/"type":"run\.finished"/g)).toHaveLength(1)
  })
})
