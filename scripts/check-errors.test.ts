import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { checkErrors } from './check-errors.ts'

const good = {
  'packages/core/src/errors.ts': "export type BatonErrorCode =\n  | 'CLOSED'\n  | 'STORE_FULL'",
  'packages/core/src/store.ts': "throw new BatonError('CLOSED', 'x')\nconst code = full ? 'STORE_FULL' : other",
  'packages/core/src/store.test.ts': "await expectRejection(append(), 'CLOSED')",
  'packages/core/src/testing/test-store.ts': "await expectRejection(append(), 'STORE_FULL')",
  'docs/reference/errors.md': '| code | when |\n|---|---|\n| `CLOSED` | a |\n| `STORE_FULL` | b |\n\n## Others\n\n| `TOOL_FAILED` | c |\n',
}

function check(files: Record<string, string>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'baton-errors-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  for (const [path, content] of Object.entries({ ...good, ...files })) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
  }
  return checkErrors(root)
}

describe('checkErrors', () => {
  it('accepts codes that are explained, thrown and tested', () => {
    expect(check({})).toEqual([])
  })

  it.each([
    ["if (BatonError.isInstance(error, 'STORE_FULL')) retry()"],
    ["if (error.code === 'STORE_FULL') retry()"],
    ["const fatal = ['STORE_FULL']"],
    ["type Fatal = 'STORE_FULL'"],
  ])('does not take a question for a throw: %s', (source) => {
    const thrown = "throw new BatonError('CLOSED', 'x')\n"
    expect(check({ 'packages/core/src/store.ts': thrown + source })).toEqual(['packages/core/src/errors.ts: STORE_FULL is thrown nowhere'])
  })

  it('reports a code that no test names', () => {
    expect(check({ 'packages/core/src/store.test.ts': '' })).toEqual(['packages/core/src/errors.ts: CLOSED is named in no test'])
  })

  it('reports codes that the page lacks, has too many, or twice', () => {
    const text = '| `STORE_FULL` | a |\n| `STORE_FULL` | b |\n| `GONE` | c |\n'
    expect(check({ 'docs/reference/errors.md': text })).toEqual([
      'docs/reference/errors.md: CLOSED is not explained',
      'docs/reference/errors.md: there is no code GONE',
      'docs/reference/errors.md: STORE_FULL is explained twice',
    ])
  })
})
