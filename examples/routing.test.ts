import { describe, expect, it } from 'vitest'
import { runExample, temporaryFolder } from './testing/run-example.ts'

describe('examples/routing.ts', () => {
  it('sends roles where they belong, keeps the restricted file here, escalates, and explains each call', async () => {
    const { code, stdout, stderr } = await runExample('routing.ts', { cwd: temporaryFolder() })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const tasks = stdout.trimEnd().split('\n\n')
    const firstLines = (text: string | undefined) => text?.split('\n').filter((line) => !/^ {2,}(-|\d\.)/.test(line))
    expect(firstLines(tasks[0])).toEqual([
      expect.stringMatching(/^plan: cloud\/large \(1 of 3 models; internal/),
      'done: First look, then leap.',
    ])
    expect(firstLines(tasks[1])).toEqual([
      expect.stringMatching(/^code: cloud\/small \(2 of 3 models; internal/),
      expect.stringMatching(/^code: here\/small \(1 of 3 models; restricted/),
      'done: In May.',
    ])
    expect(tasks[1]).toContain('  -  cloud/large  not-cleared: the content is restricted, and it is cleared up to internal')
    expect(firstLines(tasks[2])).toEqual([expect.stringMatching(/^chat: here\/small \(3 of 3 models/), 'done: Hello!'])
    expect(firstLines(tasks[3])).toEqual([
      expect.stringMatching(/^review: here\/small \(2 of 3 models/),
      'NOT_ACCEPTED here/small: the reply is no JSON',
      'done: {"verdict": "sound", "problems": []}',
    ])
    expect(tasks[3]).toMatch(
      /1\. here\/small {3}cheap-first: checked by schema; expected 58% accepted, 92% good, about \$0\.00\d+; the strong model alone/,
    )
  })
})
