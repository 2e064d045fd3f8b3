import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { checkDependencies } from './check-dependencies.ts'

const manifests = {
  'package.json': { name: 'baton', devDependencies: { vitest: '*' } },
  'packages/core/package.json': { name: '@baton-sdk/core', exports: { '.': {}, './testing': {} }, dependencies: { zod: '*' } },
  'packages/router/package.json': { name: '@baton-sdk/router', exports: { '.': {} }, peerDependencies: { '@baton-sdk/core': '*' } },
  'packages/tools/package.json': { name: '@baton-sdk/tools', exports: { '.': {} }, peerDependencies: { '@baton-sdk/core': '*' } },
  'examples/package.json': { name: '@baton-sdk/examples', dependencies: { '@baton-sdk/core': '*', '@baton-sdk/tools': '*' } },
}

const goodFiles = {
  'packages/core/src/index.ts': "export { Event } from './events/event.ts'",
  'packages/core/src/events/event.ts': "import { readFile } from 'node:fs'\nimport { z } from 'zod/v4'",
  'packages/core/src/tasks/task.ts': "import type { Event } from '../events/event.ts'",
  'packages/core/src/tasks/task.test.ts': "import { it } from 'vitest'\nimport { Event } from '@baton-sdk/core'",
  'packages/router/src/index.ts': "import type { Event } from '@baton-sdk/core'\nimport { kit } from '@baton-sdk/core/testing'",
  'packages/tools/src/index.ts': 'export {}',
  'examples/demo.ts': "import { tool } from '@baton-sdk/tools'\nimport { createBaton } from '@baton-sdk/core'",
}

function check(files: Record<string, string | object>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'baton-dependencies-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  for (const [path, content] of Object.entries({ ...manifests, ...goodFiles, ...files })) {
    mkdirSync(join(root, dirname(path)), { recursive: true })
    writeFileSync(join(root, path), typeof content === 'string' ? content : JSON.stringify(content))
  }
  return checkDependencies(root)
}

describe('checkDependencies', () => {
  it('accepts a tree that keeps the direction', () => {
    expect(check({})).toEqual([])
  })

  it.each([
    ["import { tool } from '@baton-sdk/tools'", 'value import'],
    ["import type { Tool } from '@baton-sdk/tools'", 'type import'],
    ["export { tool } from '@baton-sdk/tools'", 'export'],
    ["export type Tool = import('@baton-sdk/tools').Tool", 'import type'],
    ["await import('@baton-sdk/tools')", 'dynamic import'],
    ["declare module '@baton-sdk/tools' {}\nexport {}", 'augmentation'],
  ])('rejects a sibling: %s', (source) => {
    expect(check({ 'packages/router/src/index.ts': source })).toEqual([
      'packages/router/src/index.ts:1: @baton-sdk/router must not import @baton-sdk/tools',
    ])
  })

  it('rejects a sibling in a test', () => {
    expect(check({ 'packages/router/src/a.test.ts': "import { tool } from '@baton-sdk/tools'" })).toHaveLength(1)
  })

  it('rejects core that imports a sibling', () => {
    expect(check({ 'packages/core/src/a.ts': "import '@baton-sdk/router'" })).toEqual([
      'packages/core/src/a.ts:1: @baton-sdk/core must not import @baton-sdk/router',
    ])
  })

  it('rejects a sibling in a manifest', () => {
    const manifest = { ...manifests['packages/router/package.json'], devDependencies: { '@baton-sdk/tools': '*' } }
    expect(check({ 'packages/router/package.json': manifest })).toEqual([
      'packages/router/package.json: @baton-sdk/router must not depend on @baton-sdk/tools',
    ])
  })

  it('rejects a relative import that leaves the package', () => {
    expect(check({ 'packages/tools/src/a.ts': "\nimport '../../core/src/index.ts'" })).toEqual([
      'packages/tools/src/a.ts:2: "../../core/src/index.ts" leaves the package',
    ])
  })

  it('rejects a subpath that the package does not export', () => {
    expect(check({ 'examples/a.ts': "import '@baton-sdk/core/src/index.ts'" })).toEqual([
      'examples/a.ts:1: @baton-sdk/core does not export "./src/index.ts"',
    ])
  })

  it('rejects an import that the manifest does not declare', () => {
    expect(check({ 'packages/tools/src/a.ts': "import { z } from 'zod'" })).toEqual([
      'packages/tools/src/a.ts:1: "zod" is not declared in the package.json of @baton-sdk/tools',
    ])
  })

  it('rejects a development dependency outside of tests', () => {
    expect(check({ 'packages/tools/src/a.ts': "import { it } from 'vitest'" })).toHaveLength(1)
  })

  it('takes what the tests of the examples share for tests', () => {
    const source = "import { it } from 'vitest'"
    expect(check({ 'examples/testing/run.ts': source })).toEqual([])
    expect(check({ 'packages/tools/src/testing/run.ts': source })).toHaveLength(1)
  })

  it('rejects a package that imports itself by name', () => {
    expect(check({ 'packages/core/src/a.ts': "import '@baton-sdk/core'" })).toHaveLength(1)
  })

  it('rejects a Node module without its prefix', () => {
    expect(check({ 'packages/core/src/a.ts': "import 'fs'" })).toEqual(['packages/core/src/a.ts:1: write "node:fs"'])
  })

  it('rejects rooms of core that import each other, by types too', () => {
    const problems = check({ 'packages/core/src/events/fold.ts': "import type { Task } from '../tasks/task.ts'" })
    expect(problems).toEqual([
      'packages/core/src: rooms import each other in a circle: events -> tasks (events/fold.ts:1), tasks -> events (tasks/task.ts:1)',
    ])
  })
})
