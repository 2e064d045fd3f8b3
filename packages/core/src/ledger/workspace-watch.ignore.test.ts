import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { countingSandbox, linesOf, withWatch, write } from '../testing/watch-fixtures.ts'

describe('createWorkspaceWatch and .gitignore', () => {
  it('leaves out what it names, at any depth, in folders of their own and with exceptions', () =>
    withWatch(async ({ dir, save }) => {
      write(dir, {
        '.gitignore': '*.log\n/build\n!keep.log\nout/\n# a comment\n\nspaced \\ \n',
        'a.log': '',
        'keep.log': '',
        'build/x': '',
        'sub/build/x': '',
        'sub/out/x': '',
        'sub/.gitignore': '!a.log\n/only-here\nbuild/*\n!build/x\n',
        'sub/a.log': '',
        'sub/b.log': '',
        'sub/only-here': '',
        'sub/deep/only-here': '',
        'sub/build/y': '',
        'other/only-here': '',
        out: 'a file, and the rule is for folders',
      })
      expect(await save()).toEqual([
        ...['A .gitignore', 'A keep.log', 'A other/only-here', 'A out'],
        ...['A sub/.gitignore', 'A sub/a.log', 'A sub/build/x', 'A sub/deep/only-here'],
      ])
    }))

  it('takes a folder in again that an outer .gitignore leaves out and an inner one does not', () =>
    withWatch(async ({ dir, save }) => {
      write(dir, { '.gitignore': 'build\n*.tmp\n', 'sub/.gitignore': '!build\n', 'sub/build/x': '', 'sub/build/x.tmp': '', 'build/y': '' })
      expect(await save()).toEqual(['A .gitignore', 'A sub/.gitignore', 'A sub/build/x'])
    }))

  it('follows one that appears, changes and disappears', () =>
    withWatch(async ({ dir, save }) => {
      write(dir, { a: 'x', 'b/c': 'x' })
      await save()
      write(dir, { '.gitignore': 'new*\n', 'new-1': 'x', 'b/new-2': 'x' })
      expect(await save()).toEqual(['A .gitignore'])
      write(dir, { '.gitignore': '/new*\n' })
      expect(await save()).toEqual(['M .gitignore', 'A b/new-2'])
      rmSync(join(dir, '.gitignore'))
      expect(await save()).toEqual(['D .gitignore', 'A new-1'])
      write(dir, { 'b/.gitignore': '*\n', 'b/new-3': 'x' })
      expect(await save()).toEqual([])
      rmSync(join(dir, 'b/.gitignore'))
      expect(await save()).toEqual(['A b/new-3'])
    }))

  it('has no say over what the state holds, until that is gone', () =>
    withWatch(async ({ dir, save }) => {
      write(dir, { 'dist/forced': 'x', 'dist/deep/forced': 'x', kept: 'x' })
      await save()
      write(dir, { '.gitignore': 'dist\nkept\n', 'dist/more': 'x' })
      expect(await save()).toEqual(['A .gitignore'])
      write(dir, { 'dist/forced': 'changed', 'dist/deep/forced': 'changed', 'dist/deep/other': 'x', kept: 'changed' })
      expect(await save()).toEqual(['M dist/deep/forced', 'M dist/forced', 'M kept'])
      rmSync(join(dir, 'dist'), { recursive: true })
      rmSync(join(dir, 'kept'))
      expect(await save()).toEqual(['D dist/deep/forced', 'D dist/forced', 'D kept'])
      write(dir, { 'dist/forced': 'again', kept: 'again' })
      expect(await save()).toEqual([])
    }))

  it('forgets a file that was found and not settled, when it comes to be ignored', () =>
    withWatch(async ({ dir, save, look }) => {
      write(dir, { a: 'x' })
      await save()
      write(dir, { secret: 'x' })
      expect(linesOf(await look())).toEqual(['A secret'])
      write(dir, { '.gitignore': 'secret\n' })
      const found = await look()
      expect(linesOf(found)).toEqual(['A .gitignore'])
      expect(found.sha256.has('secret')).toBe(false)
    }))

  it('walks a folder that is ignored once, when it is first met, and again when a rule changes', () =>
    withWatch(async ({ dir, save, sandbox }) => {
      write(dir, { '.gitignore': 'node_modules\n*.o\n', 'src/a': 'x', 'src/a.o': 'x' })
      await save()
      for (let n = 0; n < 50; n++)
        write(dir, { [`node_modules/p${n}/.gitignore`]: '!*\n', [`node_modules/p${n}/index.js`]: 'x', [`src/node_modules/${n}`]: 'x' })
      const scanned = async (): Promise<number> => {
        const counted = countingSandbox(sandbox)
        expect(await save(counted.sandbox)).toEqual([])
        expect(counted.read.filter((path) => path.includes('node_modules'))).toEqual([])
        return counted.scanned.filter((path) => path.includes('node_modules')).length
      }
      expect(await scanned()).toBe(202)
      expect(await scanned()).toBe(0)
      write(dir, { 'node_modules/new/x': 'x' })
      expect(await scanned()).toBe(0)
      write(dir, { '.gitignore': 'src/node_modules\nnode_modules/*\n!node_modules/p7\n!node_modules/link\n' })
      symlinkSync('p7', join(dir, 'node_modules/link'))
      const changed = [
        'M .gitignore',
        'A120000 node_modules/link',
        'A node_modules/p7/.gitignore',
        'A node_modules/p7/index.js',
        'A src/a.o',
      ]
      expect(await save()).toEqual(changed)
    }))

  it('looks again where a folder that was left out has become a file or a link, or has got another name', () =>
    withWatch(async ({ dir, save }) => {
      write(dir, { '.gitignore': 'out/\n', 'out/x': 'x', 'deep/out/y': 'x' })
      await save()
      rmSync(join(dir, 'out'), { recursive: true })
      writeFileSync(join(dir, 'out'), 'a file')
      renameSync(join(dir, 'deep/out'), join(dir, 'deep/in'))
      symlinkSync('in', join(dir, 'deep/out'))
      expect(await save()).toEqual(['A deep/in/y', 'A120000 deep/out', 'A out'])
    }))

  it('honours rules for folders whose names are patterns themselves, and for names that are no UTF-8', () =>
    withWatch(async ({ dir, save }) => {
      mkdirSync(join(dir, 'a'))
      write(dir, {
        '[a]*/.gitignore': '/x\ny\n',
        '[a]*/x': '',
        '[a]*/y': '',
        'a/x': '',
        'a1/x': '',
        '#b/.gitignore': 'x',
        '#b/x': '',
        '!c/.gitignore': 'x',
        '!c/x': '',
      })
      write(dir, { '.gitignore': Buffer.from([0x2f, 0xff, 0x2a]), '\udcff1': '', 'a/\udcff1': '' })
      expect(await save()).toEqual([
        'A !c/.gitignore',
        'A #b/.gitignore',
        'A .gitignore',
        'A [a]*/.gitignore',
        'A a/x',
        'A a/\udcff1',
        'A a1/x',
      ])
    }))

  it('takes one that is a link, or too large, for none', () =>
    withWatch(
      async ({ dir, save }) => {
        write(dir, { rules: 'a\n', a: '', 'b/.gitignore': `a\n${'#'.repeat(200)}`, 'b/a': '' })
        symlinkSync('rules', join(dir, '.gitignore'))
        expect(await save()).toEqual(['A120000 .gitignore', 'A a', 'A b/.gitignore', 'A b/a', 'A rules'])
      },
      { maxFileBytes: 100 },
    ))
})
