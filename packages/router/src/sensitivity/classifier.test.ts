import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { createBaton, createSingleModelRouter, defineTool } from '@baton-sdk/core'
import { scriptedModel } from '@baton-sdk/core/testing'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { ClassifierOptions } from './classifier.ts'
import { createClassifier } from './classifier.ts'
import { createRandom } from './corpus/random.ts'

const random = createRandom(11)
const token = `${'gh'}p_${random.base62(36)}`
const labelOf = async (options: ClassifierOptions, sources: readonly string[], content = 'nothing to see'): Promise<string> =>
  (await createClassifier(options).classify(content, sources)).label

describe('createClassifier: paths', () => {
  it.each([
    ['.env', 'restricted'],
    ['packages/api/.env.production', 'restricted'],
    ['.env.example', 'public'],
    ['secrets/db.txt', 'restricted'],
    ['deploy/secrets/eu/db.txt', 'restricted'],
    ['certs/server.KEY', 'restricted'],
    ['home/.ssh/config', 'restricted'],
    ['infra/prod.tfvars', 'restricted'],
    ['src/secrets.ts', 'public'],
    ['src/environment.ts', 'public'],
    ['README.md', 'public'],
  ])('labels %s as %s by itself', async (path, label) => {
    expect(await labelOf({}, [`file:${path}`])).toBe(label)
  })

  it.each([
    ['docs/**', 'docs/a/b.md', true],
    ['docs/**', 'src/docs/a.md', false],
    ['docs', 'docs/a/b.md', true],
    ['*.sql', 'db/dump.sql', true],
    ['/*.sql', 'db/dump.sql', false],
    ['db/*.sql', 'db/old/dump.sql', false],
    ['**/old/*.sql', 'db/old/dump.sql', true],
    ['*.{sql,dump}', 'a.dump', true],
    ['file?.txt', 'file1.txt', true],
    ['a.b', 'aXb', false],
    ['kunden/**', 'Kunden/Müller.csv', true],
  ])('matches as a .gitignore does: %s, %s', async (pattern, path, matches) => {
    expect(await labelOf({ paths: { [pattern]: 'confidential' } }, [`file:${path}`])).toBe(matches ? 'confidential' : 'public')
  })

  it('takes the highest label of all rules and all sources', async () => {
    const paths = { 'hr/**': 'confidential', 'hr/salaries.csv': 'restricted', 'hr/menu.md': 'internal' } as const
    expect(await labelOf({ paths }, ['file:hr/menu.md'])).toBe('confidential')
    expect(await labelOf({ paths }, ['tool:search', 'file:README.md', 'file:hr/salaries.csv', 'file:hr/menu.md'])).toBe('restricted')
  })

  it('takes back what came before with none, and what came after stays', async () => {
    const paths = { 'hr/**': 'confidential', '*.md': 'none', 'hr/board.md': 'restricted' } as const
    expect(await labelOf({ paths }, ['file:hr/menu.md'])).toBe('public')
    expect(await labelOf({ paths }, ['file:hr/board.md'])).toBe('restricted')
    expect(await labelOf({ paths: { 'test/fixtures/**': 'none' } }, ['file:test/fixtures/server.pem'])).toBe('public')
  })

  it('lets a rule replace a built-in one with the same pattern', async () => {
    expect(await labelOf({ paths: { '.env.*': 'confidential' } }, ['file:.env.production'])).toBe('confidential')
  })

  it.each([
    './secrets/a',
    'x/../secrets/a',
    'secrets//a',
    'secrets\\a',
    'SECRETS/a',
    '/work/app/secrets/a',
    '../../secrets/a',
    'C:\\app\\secrets\\a',
  ])('is not led astray by another way to write a path: %s', async (path) => {
    expect(await labelOf({ paths: { 'secrets/**': 'restricted', '**/secrets/**': 'none' } }, [`file:${path}`])).toBe('public')
    expect(await labelOf({ paths: { '**/{secrets,.secrets}/**': 'none', 'secrets/**': 'confidential' } }, [`file:${path}`])).toBe(
      'confidential',
    )
  })

  it('has rules for hosts and tools, which match no file', async () => {
    const paths = { 'host:*.corp.example': 'confidential', 'tool:read_payroll': 'restricted' } as const
    expect(await labelOf({ paths }, ['host:wiki.corp.example'])).toBe('confidential')
    expect(await labelOf({ paths }, ['tool:read_payroll'])).toBe('restricted')
    expect(await labelOf({ paths }, ['file:read_payroll', 'host:corp.example.org', 'goal'])).toBe('public')
  })
})

describe('createClassifier: findings', () => {
  it('labels by kind, says where, and gives the highest label', async () => {
    const content = `mail ann@northwind.co.uk, card ${createRandom(1).card()}, token ${token}`
    expect(await createClassifier({ secretlint: false }).classify(content, [])).toEqual({
      label: 'restricted',
      findings: [
        { kind: 'email', offset: 5, length: 19 },
        { kind: 'card-number', offset: 31, length: 16 },
        { kind: 'github-token', offset: 55, length: 40 },
      ],
    })
    expect(await labelOf({}, [], 'mail ann@northwind.co.uk')).toBe('internal')
    expect(await labelOf({}, [], `card ${createRandom(1).card()}`)).toBe('confidential')
  })

  it('takes other labels, and none', async () => {
    const findings = { email: 'confidential', 'card-number': 'none' } as const
    const { label, findings: found } = await createClassifier({ findings, secretlint: false }).classify(
      `ann@northwind.co.uk ${createRandom(1).card()}`,
      [],
    )
    expect(label).toBe('confidential')
    expect(found?.map(({ kind }) => kind)).toEqual(['email'])
  })

  it('has a floor', async () => {
    expect(await labelOf({ minimum: 'internal' }, [])).toBe('internal')
    expect(await labelOf({ minimum: 'internal' }, ['file:.env'])).toBe('restricted')
  })

  it('uses secretlint where it is installed', async () => {
    // A format that only secretlint knows.
    const content = `see ${'fig'}d_${random.base62(60)}`
    const { label, findings } = await createClassifier({ secretlint: true }).classify(content, [])
    expect({ label, kinds: findings?.map(({ kind }) => kind) }).toEqual({ label: 'restricted', kinds: ['secretlint-figma'] })
    expect(await labelOf({ secretlint: false }, [], content)).toBe('public')
    expect(await labelOf({ secretlint: true, findings: { 'secretlint-figma': 'internal' } }, [], content)).toBe('internal')
  })

  it('works without secretlint, and says how to install it where it is required', async () => {
    const hide = `import { registerHooks } from 'node:module'
      registerHooks({ resolve(name, context, next) {
        if (name.startsWith('@secretlint/')) throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
        return next(name, context)
      } })`
    const program = `const { createClassifier } = await import(${JSON.stringify(import.meta.resolve('./classifier.ts'))})
      const { label } = await createClassifier().classify('token ${token}', [])
      const { code, message } = await createClassifier({ secretlint: true }).classify('', []).catch((error) => error)
      console.log(JSON.stringify({ label, code, message }))`
    const flags = [
      '--conditions=@baton-sdk/source',
      '--import',
      `data:text/javascript,${encodeURIComponent(hide)}`,
      '--input-type=module',
      '-e',
      program,
    ]
    const { stdout } = await promisify(execFile)(process.execPath, flags)
    expect(JSON.parse(stdout)).toEqual({
      label: 'restricted',
      code: 'INVALID_OPTIONS',
      message: expect.stringContaining('npm install @secretlint/core'),
    })
  })

  it.each([
    [{ paths: { 'a/**': 'secret' } }, /paths\.a\/\*\*/],
    [{ paths: { '!a/**': 'public' } }, /write "a\/\*\*": 'none'/],
    [{ paths: { '*.{a': 'public' } }, /braces/],
    [{ paths: { ' ': 'public' } }, /empty/],
    [{ findings: { passwords: 'restricted' } }, /findings\.passwords: there is no such kind; known: private-key/],
    [{ secretlint: 'yes' }, /secretlint/],
    [{ minimum: 'none' }, /minimum/],
    [{ path: {} }, /path/],
  ])('refuses %j', (options, message) => {
    expect(() => createClassifier(options as ClassifierOptions)).toThrow(message)
  })
})

describe('createClassifier in a task', () => {
  it('raises the label, records what was found without the value beside it, and keeps a model that is not cleared from being called', async () => {
    const read = defineTool({
      name: 'read',
      description: 'Reads a file.',
      input: z.object({ path: z.string() }),
      effect: 'read',
      sources: ({ path }) => [`file:${path}`],
      run: async () => `token=${token}\n`,
    })
    const script = [{ toolCalls: [{ tool: 'read', input: { path: 'notes.txt' } }] }, { text: 'Never said.' }]
    const model = scriptedModel(script, { id: 'cloud/model', info: { location: 'public' } })
    const baton = createBaton({ router: createSingleModelRouter(model), tools: [read], classifier: createClassifier() })
    const task = await baton.createTask({ goal: 'Read.' })
    const finished: unknown[] = []
    task.on('tool.finished', ({ data }) => finished.push({ sensitivity: data.sensitivity, findings: data.findings }))
    const result = await task.start().result
    expect(result).toMatchObject({ outcome: 'failed', error: { code: 'NO_ELIGIBLE_MODEL' } })
    expect(finished).toEqual([{ sensitivity: 'restricted', findings: [{ kind: 'github-token', offset: 6, length: 40 }] }])
    expect(task.summary.sensitivity).toBe('restricted')
    expect(model.requests).toHaveLength(1)
    await baton.close()
  })
})

describe('createClassifier: again', () => {
  it('finds the same in a text that it has seen before, whatever was done with what it found then', async () => {
    const classifier = createClassifier({ secretlint: false })
    const text = `token: ${token}\nand nothing else`
    const first = await classifier.find(text)
    const copy = structuredClone(first)
    expect(first).toHaveLength(1)
    Object.assign(first[0] as object, { label: 'public', offset: 0 })
    first.pop()
    expect(await classifier.find(text)).toEqual(copy)
    expect(await classifier.classify(text, [])).toMatchObject({ label: 'restricted', findings: [{ offset: 7, length: token.length }] })
  })

  it('tells texts apart that differ in half a character only', async () => {
    const classifier = createClassifier({ secretlint: false })
    const lengths = await Promise.all(['\ud800', '\ud801', '?'].map((half) => classifier.find(`${half.repeat(3)} ${token}`)))
    expect(lengths.map((found) => found.length)).toEqual([1, 1, 1])
    expect(await classifier.find('\ud800')).toEqual([])
  })

  it('finds the same after more texts than it remembers', async () => {
    const classifier = createClassifier({ secretlint: false })
    const text = `password = "${random.password()}"`
    const before = await classifier.find(text)
    for (let at = 0; at < 20_100; at++) await classifier.find(`line ${at}`)
    expect(await classifier.find(text)).toEqual(before)
    expect(before).toHaveLength(1)
  })
})
