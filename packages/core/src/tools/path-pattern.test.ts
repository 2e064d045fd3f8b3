import { posix } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { normaliseCallPath } from './path-pattern.ts'
import { createPolicy } from './policy.ts'
import type { Decision } from './tool.ts'

async function decide(
  decision: Decision['decision'],
  path: string | readonly string[],
  paths: readonly string[] | undefined,
): Promise<Decision['decision']> {
  const policy = createPolicy({ rules: [{ path, decision }] })
  const context = { taskId: 't', autonomy: decision === 'allow' ? 'supervised' : 'autonomous', sensitivity: 'internal' } as const
  const normal = paths?.map((one) => normaliseCallPath(one, '/work'))
  return (await policy.decide({ callId: 'c', tool: 'edit', input: {} }, { ...context, effect: 'external', paths: normal })).decision
}

describe('createPolicy with a rule for paths', () => {
  it.each<[string, readonly string[]]>([
    ['src/**', ['src/a.ts', 'src/b/c.ts', 'src/.env', 'src']],
    ['src/*', ['src/a.ts', './src/a.ts', '/work/src/a.ts', 'src//a.ts', 'x/../src/a.ts', 'src/./a.ts']],
    ['*.md', ['README.md', './README.md']],
    ['**/*.md', ['README.md', 'docs/a/b.md']],
    ['**', ['a', 'a/b', '.git/config', '.']],
    ['{src,test}/**/*.{ts,tsx}', ['src/a.ts', 'test/a/b.tsx']],
    ['a/**/z', ['a/z', 'a/b/z', 'a/b/c/z']],
    ['app/\\[id\\]/?.ts', ['app/[id]/a.ts', 'app/[id]/é.ts', 'app/[id]/🌬.ts']],
    ['\\*\\*', ['**']],
    ['./src/a', ['src/a']],
    ['with space/日本*', ['with space/日本語']],
    ['..foo/...', ['..foo/...']],
  ])('%s takes these: %j', async (pattern, paths) => {
    for (const path of paths) {
      expect([path, await decide('allow', pattern, [path])]).toEqual([path, 'allow'])
      expect([path, await decide('deny', pattern, [path])]).toEqual([path, 'deny'])
    }
    expect(await decide('allow', pattern, paths)).toBe('allow')
  })

  it.each<[string, readonly string[]]>([
    ['src/**', ['srcs/a', 'a/src/b', '.', 'lib']],
    ['src/*', ['src/a/b', 'src', 'src/../lib/a']],
    ['*.md', ['docs/a.md', 'a.mdx']],
    ['a/**/z', ['a/b', 'z', 'a/zz']],
    ['\\*\\*', ['ab', 'a/b']],
    ['a.b', ['aXb']],
    ['a?', ['a', 'abc', 'a/b']],
  ])('%s takes none of these: %j', async (pattern, paths) => {
    for (const path of paths) {
      expect([path, await decide('allow', pattern, [path])]).toEqual([path, 'ask'])
      expect([path, await decide('deny', pattern, [path])]).toEqual([path, 'allow'])
    }
  })

  it.each(['../x', '..', '/etc/passwd', '/work/../etc/passwd', 'src/../../x', '/worker/src/a', '/', '/work/..', '../work/src/a'])(
    'never allows what leads out, and asks or denies there: %s',
    async (path) => {
      expect(await decide('allow', ['**', '*', 'src/**'], [path])).toBe('ask')
      expect(await decide('deny', 'src/**', [path])).toBe('deny')
      expect(await decide('ask', 'src/**', [path])).toBe('ask')
    },
  )

  it('takes an absolute path for one that leads out where nobody knows the workdir', () => {
    expect(normaliseCallPath('/work/src/a', undefined)).toBe('/work/src/a')
    expect(normaliseCallPath('./src/../a', undefined)).toBe('a')
  })

  it('allows only where all paths are taken, and asks or denies where one is', async () => {
    expect(await decide('allow', ['src/**', 'docs/**'], ['src/a', 'docs/b'])).toBe('allow')
    expect(await decide('allow', ['src/**'], ['src/a', 'docs/b'])).toBe('ask')
    expect(await decide('deny', ['src/**'], ['docs/b', 'src/a'])).toBe('deny')
    expect(await decide('allow', '**', [])).toBe('ask')
    expect(await decide('allow', '**', undefined)).toBe('ask')
    expect(await decide('deny', '**', undefined)).toBe('allow')
  })

  it('denies in whatever case and spelling of the letters, and allows exactly', async () => {
    for (const path of ['SECRETS/Key', 'sEcrets/KEY', 'Secrets/x']) {
      expect(await decide('deny', 'secrets/**', [path])).toBe('deny')
      expect(await decide('allow', 'secrets/**', [path])).toBe('ask')
    }
    expect(await decide('deny', 'caf\u00e9/*', ['cafe\u0301/a'])).toBe('deny')
    expect(await decide('allow', 'caf\u00e9/*', ['cafe\u0301/a'])).toBe('ask')
  })

  it.each<[string, string, 'all' | 'some' | 'none']>([
    ['src/**', 'src/', 'all'],
    ['src/**', 'src/lib/', 'all'],
    ['**', './', 'all'],
    ['src/*/**', 'src/', 'all'],
    ['src/**', './', 'some'],
    ['src/*', 'src/', 'some'],
    ['src/**/*.ts', 'src/lib/', 'some'],
    ['**/*.ts', './', 'some'],
    ['src/lib/a', 'src/', 'some'],
    ['src/????/**', 'src/', 'some'],
    ['src/a', 'src/a/', 'some'],
    ['src/**', 'lib/', 'none'],
    ['src/*', 'src/lib/', 'some'],
    ['src/*', 'src/lib/a/', 'none'],
  ])('%s takes of the folder %s with all that is in it: %s', async (pattern, folder, part) => {
    expect(await decide('allow', pattern, [folder])).toBe(part === 'all' ? 'allow' : 'ask')
    expect(await decide('deny', pattern, [folder])).toBe(part === 'none' ? 'allow' : 'deny')
  })

  it.each([
    '/etc/**',
    '../x',
    'a/../b',
    '..',
    '!src/**',
    'src/[ab]',
    'a/{b',
    'a/b}',
    'a//b',
    'a/./b',
    'src/',
    '',
    '.',
    './',
    'a\\',
    'a\nb',
    '{a,b}'.repeat(9),
  ])('refuses the pattern %j', (path) => {
    expect(() => createPolicy({ rules: [{ path, decision: 'deny' }] })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringMatching(/^createPolicy: rules\.0\.path: /) }),
    )
  })

  it('refuses at once braces that stand for endlessly many patterns', () => {
    expect(() => createPolicy({ rules: [{ path: '{a,b}'.repeat(60), decision: 'deny' }] })).toThrow(/more than 256 patterns/)
    expect(() => createPolicy({ rules: [{ path: [], decision: 'deny' }] })).toThrow(/expected a path pattern/)
  })

  it('gives each file of the workdir one name, however it is spelled', () => {
    const step = fc.constantFrom('.', '..', 'a', 'b', '', 'c.ts', '..d')
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), fc.boolean(), (steps, absolute) => {
        const path = (absolute ? '/work/' : '') + steps.join('/')
        const normal = normaliseCallPath(path, '/work')
        const resolved = posix.resolve('/work', path)
        expect(posix.resolve('/work', normal)).toBe(resolved)
        expect(normaliseCallPath(normal, '/work')).toBe(normal)
        expect(/^(\/|\.\.(\/|$))/.test(normal)).toBe(resolved !== '/work' && !resolved.startsWith('/work/'))
        if (!path.endsWith('/') && resolved.startsWith('/work')) expect(normal).toBe(posix.relative('/work', resolved) || '.')
      }),
    )
  })
})
