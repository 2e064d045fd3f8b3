import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { checkDocs } from './sync-docs.ts'

const code = 'const one = 1\nconsole.log(one)\n'
const page = (shown: string): string => `# Page\n\n<!-- code: examples/one.ts -->\n\n\`\`\`ts\n${shown}\`\`\`\n\nEnd.\n`

function repository(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), 'baton-docs-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  for (const [path, content] of Object.entries({ 'examples/one.ts': code, ...files })) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
  }
  return root
}

const problemsOf = (files: Record<string, string>): readonly string[] => checkDocs(repository(files)).problems

describe('checkDocs', () => {
  it('accepts code that is its file', () => {
    expect(checkDocs(repository({ 'README.md': page(code) }))).toEqual({ problems: [], stale: new Map() })
  })

  it.each([
    ['a changed line', 'const one = 2\nconsole.log(one)\n', 'README.md:6: differs from examples/one.ts:1'],
    ['a missing line', 'const one = 1\n', 'README.md:7: differs from examples/one.ts:2'],
    ['a line too many', `${code}more()\n`, 'README.md:8: differs from examples/one.ts:3'],
  ])('names file and line of %s, and knows the right text', (_, shown, problem) => {
    const { problems, stale } = checkDocs(repository({ 'README.md': page(shown) }))
    expect(problems).toEqual([problem])
    expect([...stale]).toEqual([['README.md', page(code)]])
  })

  it('reports a marker whose file is not there, or that no fence follows', () => {
    expect(problemsOf({ 'docs/a.md': '<!-- code: examples/gone.ts -->\n\n```ts\n1\n```\n' })).toEqual([
      'docs/a.md:1: there is no file examples/gone.ts',
    ])
    expect(problemsOf({ 'docs/a.md': '<!-- code: examples/one.ts -->\nText.\n' })).toEqual([
      'docs/a.md:1: after the marker come an empty line and a fence',
    ])
  })

  it('refuses code that no file stands behind, but not commands', () => {
    const problems = problemsOf({ 'docs/a.md': '```sh\nnpm test\n```\n\n```ts\n1\n```\n' })
    expect(problems).toEqual(['docs/a.md:5: code has to come from a file that is run: put <!-- code: PATH --> and an empty line above it'])
  })

  it('follows links to files, folders and headings', () => {
    const target = '# One thing\n\n## `code()`, and more\n\n## Twice\n\n## Twice\n'
    const links =
      '[a](docs/b.md) [b](docs/b.md#one-thing) [c](docs/b.md#code-and-more) [d](docs/b.md#twice-1) [e](docs) [f](#top) [g](https://example.com/x)'
    expect(problemsOf({ 'README.md': `# Top\n\n${links}\n`, 'docs/b.md': target })).toEqual([])
  })

  it('reports links that lead nowhere, and not what code looks like', () => {
    const text = '# A\n\n[a](gone.md)\n[b](a.md#gone)\n[ref]: other.md\n`[c](code.md)`\n\n```sh\n[d](code.md)\n```\n'
    expect(problemsOf({ 'docs/a.md': text })).toEqual([
      'docs/a.md:3: the link to gone.md leads nowhere',
      'docs/a.md:4: a.md has no heading #gone',
      'docs/a.md:5: the link to other.md leads nowhere',
    ])
  })

  it('keeps the pages of a package within it, as they are published alone', () => {
    const files = { 'packages/core/README.md': '[a](src) [b](../../docs/a.md)\n', 'packages/core/src/a.ts': '', 'docs/a.md': '' }
    expect(problemsOf(files)).toEqual(['packages/core/README.md:1: the link to ../../docs/a.md leaves the package'])
  })
})
