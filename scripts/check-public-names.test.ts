import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { checkPublicNames } from './check-public-names.ts'

function repository(source: string): { root: string; write(listing: string): void } {
  const root = mkdtempSync(join(tmpdir(), 'baton-names-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  mkdirSync(join(root, 'packages/core/src'), { recursive: true })
  mkdirSync(join(root, 'docs/reference'), { recursive: true })
  const exports = { '.': { '@baton-sdk/source': './src/index.ts' }, './package.json': './package.json' }
  writeFileSync(join(root, 'packages/core/package.json'), JSON.stringify({ name: '@baton-sdk/core', exports }))
  writeFileSync(join(root, 'packages/core/src/index.ts'), source)
  return { root, write: (listing) => writeFileSync(join(root, 'docs/reference/public-names.md'), listing) }
}

describe('checkPublicNames', () => {
  it('finds no difference to the listing that it wrote itself', () => {
    const { root, write } = repository(`
      export { Thing, type Other, inner as outer } from './thing.ts'
      export type { Shape } from './shape.ts'
      export const one = 1, two = 2
      export function three() {}
      export interface Four {}
      const hidden = 0
    `)
    const { listing } = checkPublicNames(root)
    write(listing)
    expect(listing).toContain('8 names')
    expect(checkPublicNames(root).differences).toEqual([])
  })

  it('names what came and what went', () => {
    const { root, write } = repository('export const fresh = 1')
    write('# Public names\n\n## @baton-sdk/core\n\n1 name.\n\n- `stale`\n')
    expect(checkPublicNames(root).differences).toEqual(['@baton-sdk/core: + fresh', '@baton-sdk/core: - stale'])
  })

  it('counts a value and a type of one name once', () => {
    const { root } = repository('export const Thing = 1\nexport type Thing = number')
    expect(checkPublicNames(root).differences).toEqual(['@baton-sdk/core: + Thing'])
  })

  it('refuses "export *", which hides names', () => {
    const { root } = repository("export * from './thing.ts'")
    expect(() => checkPublicNames(root)).toThrow('export *')
  })
})
