import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { coder, expectClean, git, lacksGit, packsOf, stageOf, stateOf, textsOf } from '../testing/ledger-fixtures.ts'
import { createLedger, createTemporaryLedger } from './git-ledger.ts'
import type { Ledger } from './ledger.ts'
import { pointerFor } from './lfs-pointer.ts'

const root = mkdtempSync(join(tmpdir(), 'baton-git-ledger-'))
afterAll(() => rmSync(root, { recursive: true }))

let dir: string
let ledger: Ledger
beforeEach(() => {
  dir = join(mkdtempSync(join(root, 'case-')), 'ledger')
  ledger = createLedger({ dir })
})
afterEach(() => ledger.close())

async function commit(base: string | undefined, files: Record<string, string | null>, message?: string): Promise<string> {
  const [id] = await ledger.commit(base, [stageOf(ledger, files, message)])
  return id!
}

async function reopen(): Promise<void> {
  await ledger.close()
  ledger = createLedger({ dir })
}

describe('createLedger', () => {
  it('gives back each state that was committed, also after it was opened again', async () => {
    const first = await commit(undefined, { 'a.txt': 'a', 'src/deep/b.txt': 'b' })
    const second = await commit(first, { 'a.txt': null, 'src/c.txt': 'c' })
    await ledger.point('task', second)
    await reopen()
    expect(await textsOf(ledger, first)).toEqual({ 'a.txt': 'a', 'src/deep/b.txt': 'b' })
    expect(await textsOf(ledger, second)).toEqual({ 'src/c.txt': 'c', 'src/deep/b.txt': 'b' })
    expect(await ledger.head('task')).toBe(second)
    expect(await ledger.head('other')).toBeUndefined()
  })

  it('has nothing, and makes nothing, before the first commit', async () => {
    expect(await ledger.head('task')).toBeUndefined()
    await expect(ledger.files('0'.repeat(40))).rejects.toMatchObject({ code: 'LEDGER_DAMAGED' })
    expect(existsSync(dir)).toBe(false)
  })

  it('commits several stages in one write, and none for none', async () => {
    expect(await ledger.commit(undefined, [])).toEqual([])
    const ids = await ledger.commit(undefined, [stageOf(ledger, { a: '1' }), stageOf(ledger, { b: '2' }), stageOf(ledger, { a: null })])
    expect(packsOf(dir)).toHaveLength(1)
    expect(await Promise.all(ids.map((id) => textsOf(ledger, id)))).toEqual([{ a: '1' }, { a: '1', b: '2' }, { b: '2' }])
  })

  it('keeps a state of no files, and a change of nothing', async () => {
    const empty = await commit(undefined, {})
    const same = await commit(empty, { gone: null })
    expect((await ledger.files(same)).size).toBe(0)
    expect(await ledger.compare(empty, same)).toEqual([])
    const full = await commit(same, { 'x/y/z': 'deep' })
    expect((await ledger.files(await commit(full, { 'x/y/z': null }))).size).toBe(0)
    if (!lacksGit) expectClean(dir)
  })

  it('lets a file take the place of a folder and a folder that of a file, whether or not the deletions are named', async () => {
    const folder = await commit(undefined, { 'a/x': '1', 'a/y/z': '2', 'a.b': '3', a0: '4' })
    const file = await commit(folder, { a: 'file' })
    expect(await textsOf(ledger, file)).toEqual({ a: 'file', 'a.b': '3', a0: '4' })
    expect(await textsOf(ledger, await commit(folder, { a: 'file', 'a/x': null, 'a/y/z': null }))).toEqual(await textsOf(ledger, file))
    const again = await commit(file, { 'a/new': '5' })
    expect(await textsOf(ledger, again)).toEqual({ 'a/new': '5', 'a.b': '3', a0: '4' })
    expect(await textsOf(ledger, await commit(file, { a: null, 'a/new': '5' }))).toEqual(await textsOf(ledger, again))
    // A deletion means a file: a folder of that name stays.
    expect(await textsOf(ledger, await commit(again, { a: null }))).toEqual(await textsOf(ledger, again))
    expect((await ledger.compare(folder, file)).map(({ path }) => path)).toEqual(['a', 'a/x', 'a/y/z'])
  })

  it('compares two states by path in byte order', async () => {
    const from = await commit(undefined, { 'a.b': '1', 'a/x': '1', a0: '1', same: '1', é: '1' })
    const to = await commit(from, { 'a.b': '2', 'a/x': null, 'a/z': '2', a0: '2', '\u{1f600}': '2', '\udcff': '2' })
    const changes = await ledger.compare(from, to)
    expect(changes.map(({ path, before, after }) => [path, before !== undefined, after !== undefined])).toEqual([
      ['a.b', true, true],
      ['a/x', true, false],
      ['a/z', false, true],
      ['a0', true, true],
      ['\u{1f600}', false, true],
      ['\udcff', false, true],
    ])
    expect(await ledger.compare(to, to)).toEqual([])
  })

  it('says that a change of mode alone is one', async () => {
    const from = await commit(undefined, { run: 'x' })
    const [to] = await ledger.commit(from, [
      { author: coder, message: 'chmod', files: new Map([['run', ledger.put(Buffer.from('x'), '100755')]]) },
    ])
    const [change] = await ledger.compare(from, to!)
    expect([change?.before?.mode, change?.after?.mode]).toEqual(['100644', '100755'])
  })

  it('reads content that was put before it is committed, and drops it when nothing comes of it', async () => {
    const file = ledger.put(Buffer.from('soon'))
    expect(Buffer.from(await ledger.read(file)).toString()).toBe('soon')
    await reopen()
    await expect(ledger.read(file)).rejects.toMatchObject({ code: 'LEDGER_DAMAGED', details: { oid: file.oid } })
  })

  it('keeps memory small: content beyond 32 MiB waits on the disk, and is committed all the same', async () => {
    const contents = Array.from({ length: 45 }, (_, index) => noise(1_000_000, index))
    const files = new Map(contents.map((content, index) => [`f${index}`, ledger.put(content)]))
    expect(packsOf(dir)).toEqual([])
    expect(contents[0]?.equals(await ledger.read(files.get('f0')!))).toBe(true)
    const [id] = await ledger.commit(undefined, [{ author: coder, message: 'much', files }])
    expect(packsOf(dir)).toHaveLength(2)
    await reopen()
    for (const [path, file] of await ledger.files(id!)) expect(contents[Number(path.slice(1))]?.equals(await ledger.read(file))).toBe(true)
    if (!lacksGit) expectClean(dir)
  })

  it('removes what it kept on the disk for a commit that never came', async () => {
    for (let index = 0; index < 45; index++) ledger.put(noise(1_000_000, index))
    await ledger.close()
    expect(statSync(join(dir, 'objects/pack')).isDirectory()).toBe(true)
    expect(packFolder()).toEqual([])
  })

  it('stores nothing twice', async () => {
    const base = await commit(undefined, { a: 'content', b: 'content' })
    const bytes = (): number => packFolder().reduce((sum, name) => sum + statSync(join(dir, 'objects/pack', name)).size, 0)
    const before = bytes()
    const large = 'x'.repeat(1000)
    await commit(base, { c: large })
    await commit(base, { d: large })
    await commit(base, { d: large, e: 'content' })
    expect(bytes() - before).toBeLessThan(3 * 1800)
  })

  it('keeps of content above the limit a pointer, and tells it from a pointer that the workspace holds', async () => {
    await ledger.close()
    ledger = createLedger({ dir, maxFileBytes: 1000 })
    const content = Buffer.alloc(1001, 'x')
    const sha256 = createHash('sha256').update(content).digest('hex')
    const own = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize 1001\n`
    const large = ledger.put(content, '100755')
    expect(large).toEqual({ mode: '100755', oid: expect.any(String), hashOnly: true })
    expect(ledger.put(Buffer.alloc(1000, 'x')).hashOnly).toBeUndefined()
    expect(Buffer.from(await ledger.read(large))).toEqual(pointerFor(sha256, 1001))
    const files = new Map([
      ['large', large],
      ['own', ledger.put(Buffer.from(own))],
      ['link', ledger.put(pointerFor(sha256, 1001), '120000')],
    ])
    const [id] = await ledger.commit(undefined, [{ author: coder, message: 'large', files }])
    const next = await commit(id, { other: 'o' })
    for (const state of [id!, next]) {
      const found = await ledger.files(state)
      expect(['large', 'own', 'link'].map((path) => found.get(path)?.hashOnly)).toEqual([true, undefined, undefined])
    }
    expect((await ledger.compare(await commit(undefined, {}), next)).find(({ path }) => path === 'large')?.after).toEqual(large)
    if (!lacksGit) expectClean(dir)
  })

  it('writes for many who commit at once as one', async () => {
    const base = await commit(undefined, { a: 'a' })
    const ids = await Promise.all(Array.from({ length: 50 }, (_, index) => commit(base, { [`f${index}`]: `${index}` })))
    expect(packsOf(dir).length).toBeLessThanOrEqual(3)
    for (const [index, id] of ids.entries()) expect(await textsOf(ledger, id)).toEqual({ a: 'a', [`f${index}`]: `${index}` })
  })

  it('merges packs, so that they stay few', async () => {
    let head: string | undefined
    const heads: string[] = []
    for (let number = 0; number < 120; number++) {
      head = await commit(head, { [`d${number % 7}/f${number % 13}`]: `${number}` }, `number ${number}`)
      heads.push(head)
    }
    await ledger.point('task', head!)
    await reopen()
    expect(packsOf(dir).length).toBeLessThan(24)
    expect(packFolder().filter((name) => !name.startsWith('pack-'))).toEqual([])
    expect((await textsOf(ledger, heads[60]!))['d4/f8']).toBe('60')
    if (!lacksGit) {
      expectClean(dir)
      expect(git(dir, 'rev-list', '--count', 'refs/baton/task').output.toString()).toBe('120\n')
    }
  })

  it.skipIf(lacksGit)('merges what two have stored at the same time into one', async () => {
    const other = createLedger({ dir })
    await expect(other.files('0'.repeat(40))).rejects.toMatchObject({ code: 'LEDGER_DAMAGED' })
    const ids = await Promise.all(
      [ledger, other].map((each, index) => each.commit(undefined, [stageOf(each, { 'd/same': 'same', own: `${index}` })])),
    )
    const stored = (): number => Number(/in-pack: (\d+)/.exec(git(dir, 'count-objects', '-v').output.toString())?.[1])
    const different = (): number => git(dir, 'cat-file', '--batch-all-objects', '--batch-check').output.toString().split('\n').length - 1
    expect(stored()).toBeGreaterThan(different())
    for (let number = 0; number < 7; number++) await commit(ids[0]?.[0], { f: `${number}` })
    await reopen()
    expect(packsOf(dir)).toHaveLength(1)
    expect(stored()).toBe(different())
    await other.close()
    expectClean(dir)
  })

  it('goes on reading when another one has merged the packs that it knew', async () => {
    const other = createLedger({ dir })
    let head = await commit(undefined, { f: '0' })
    expect(await textsOf(other, head)).toEqual({ f: '0' })
    const first = head
    for (let number = 1; number <= 30; number++) head = await commit(head, { f: `${number}` })
    await reopen()
    expect(await textsOf(other, first)).toEqual({ f: '0' })
    expect(await textsOf(other, head)).toEqual({ f: '30' })
    await other.close()
  })
})

describe('createLedger refuses', () => {
  it.each([
    ['', 'is no relative path'],
    ['/a', 'is no relative path'],
    ['a//b', 'is no relative path'],
    ['a/', 'is no relative path'],
    ['../a', 'is no relative path'],
    ['a/./b', 'is no relative path'],
    ['a\0b', 'is no relative path'],
    ['file/below', 'is below a file'],
  ])('the path %j', async (path, problem) => {
    await expect(commit(undefined, { file: 'f', [path]: 'x' })).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      message: expect.stringContaining(problem),
      details: { path },
    })
    expect(await textsOf(ledger, await commit(undefined, { file: 'f' }))).toEqual({ file: 'f' })
  })

  it('a folder that holds something else', async () => {
    writeFileSync(join(root, 'own'), 'mine')
    ledger = createLedger({ dir: root })
    await expect(ledger.commit(undefined, [{ author: coder, message: '', files: new Map() }])).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      message: expect.stringContaining('holds something else'),
    })
  })

  it('options, task ids and object ids that are none', async () => {
    expect(() => createLedger({ dir: '' })).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
    expect(() => createLedger({ dir, maxFileBytes: 0 })).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
    const id = await commit(undefined, {})
    for (const taskId of ['', '../evil', 'a/b', 'x'.repeat(129)])
      await expect(ledger.point(taskId, id)).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    await expect(ledger.files('HEAD')).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    await expect(ledger.commit('main', [stageOf(ledger, {})])).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })

  it('to commit content that was never put, or on top of a commit that is not there, and nothing of it stays', async () => {
    const oid = '1'.repeat(40)
    const files = new Map([['a', { mode: '100644', oid } as const]])
    await expect(ledger.commit(undefined, [{ author: coder, message: '', files }])).rejects.toMatchObject({
      code: 'LEDGER_DAMAGED',
      details: { oid, path: 'a' },
    })
    await expect(commit(oid, { a: 'a' })).rejects.toMatchObject({ code: 'LEDGER_DAMAGED', details: { oid } })
    await expect(ledger.point('task', oid)).rejects.toMatchObject({ code: 'LEDGER_DAMAGED', details: { oid } })
    const [good, bad] = await Promise.allSettled([commit(undefined, { b: 'b' }), commit(oid, { a: 'a' })])
    expect([good.status, bad.status]).toEqual(['fulfilled', 'rejected'])
    if (!lacksGit) expectClean(dir)
  })

  it('an aborted call, and any call after it was closed', async () => {
    const id = await commit(undefined, { a: 'a' })
    const signal = AbortSignal.abort('enough')
    await expect(ledger.commit(id, [stageOf(ledger, {})], { signal })).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(ledger.files(id, { signal })).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(ledger.compare(id, await commit(id, { b: 'b' }), { signal })).rejects.toMatchObject({ code: 'ABORTED' })
    await ledger.close()
    await ledger.close()
    await expect(ledger.files(id)).rejects.toMatchObject({ code: 'CLOSED' })
    expect(() => ledger.put(Buffer.from('x'))).toThrow(expect.objectContaining({ code: 'CLOSED' }))
  })
})

describe('Ledger.prune', () => {
  it('removes a task with all that only it needs, and nothing else', async () => {
    const shared = await commit(undefined, { shared: 'shared', secret: 'token' })
    const other = await commit(shared, { other: 'other', secret: null })
    const clean = await commit(undefined, { shared: 'shared' })
    await ledger.point('going', other)
    await ledger.point('staying', clean)
    const secret = (await ledger.files(shared)).get('secret')!
    await ledger.prune(['going', 'never-there'])
    expect(await ledger.head('going')).toBeUndefined()
    expect(await textsOf(ledger, clean)).toEqual({ shared: 'shared' })
    await expect(ledger.files(other)).rejects.toMatchObject({ code: 'LEDGER_DAMAGED' })
    await expect(ledger.read(secret)).rejects.toMatchObject({ code: 'LEDGER_DAMAGED' })
    await expect(commit(other, { a: 'a' })).rejects.toMatchObject({ code: 'LEDGER_DAMAGED' })
    expect(await textsOf(ledger, await commit(clean, { secret: 'token' }))).toEqual({ shared: 'shared', secret: 'token' })
    if (!lacksGit) expectClean(dir)
  })

  it('keeps what a fork of the task needs', async () => {
    const start = await commit(undefined, { a: '1' })
    const left = await commit(start, { a: '2' })
    const right = await commit(start, { a: '3' })
    await ledger.point('left', left)
    await ledger.point('right', right)
    await ledger.prune(['left'])
    expect([await textsOf(ledger, start), await textsOf(ledger, right)]).toEqual([{ a: '1' }, { a: '3' }])
    await expect(ledger.files(left)).rejects.toMatchObject({ code: 'LEDGER_DAMAGED' })
    if (!lacksGit) expectClean(dir)
  })

  it('keeps a commit that a ref is about to point to, but for one on top of what goes', async () => {
    const old = await commit(undefined, { a: 'old' })
    const staying = await commit(undefined, { b: 'staying' })
    await ledger.point('going', old)
    await ledger.point('staying', staying)
    const soon = await commit(undefined, { c: 'soon' })
    const next = await commit(staying, { b: 'next' })
    const late = await commit(old, { a: 'late' })
    await ledger.prune(['going'])
    expect(await textsOf(ledger, soon)).toEqual({ c: 'soon' })
    expect(await textsOf(ledger, next)).toEqual({ b: 'next' })
    await expect(ledger.files(late)).rejects.toMatchObject({ code: 'LEDGER_DAMAGED' })
  })

  it('is seen by others that have the ledger open', async () => {
    const other = createLedger({ dir })
    const going = await commit(undefined, { only: 'here' })
    const staying = await commit(undefined, { a: 'a' })
    await ledger.point('going', going)
    await ledger.point('staying', staying)
    const only = (await other.files(going)).get('only')!
    await ledger.prune(['going'])
    await expect(other.commit(staying, [{ author: coder, message: '', files: new Map([['x', only]]) }])).rejects.toMatchObject({
      code: 'LEDGER_DAMAGED',
      details: { oid: only.oid, path: 'x' },
    })
    const [id] = await other.commit(staying, [stageOf(other, { x: 'here' })])
    expect(await textsOf(ledger, id!)).toEqual({ a: 'a', x: 'here' })
    await other.close()
    if (!lacksGit) expectClean(dir)
  })

  it('takes nothing from a commit whose content was put before', async () => {
    const other = createLedger({ dir })
    const staying = await commit(undefined, { a: 'a' })
    await ledger.point('going', await commit(undefined, { only: 'here' }))
    await ledger.point('staying', staying)
    await other.files(staying)
    const stages = [ledger, other].map((each) => stageOf(each, { x: 'here' }))
    await ledger.prune(['going'])
    const ids = [(await other.commit(staying, [stages[1]!]))[0]!, (await ledger.commit(staying, [stages[0]!]))[0]!]
    for (const id of ids) expect(await textsOf(ledger, id)).toEqual({ a: 'a', x: 'here' })
    await other.close()
    if (!lacksGit) expectClean(dir)
  })

  it('is noticed by a commit that is being written, which then checks anew what it relies on', async () => {
    const other = createLedger({ dir })
    const staying = await commit(undefined, { a: 'a' })
    const going = await commit(undefined, { only: 'here', put: 'again' })
    await ledger.point('going', going)
    await ledger.point('staying', staying)
    const only = (await other.files(going)).get('only')!
    const lacking = other.commit(staying, [{ author: coder, message: '', files: new Map([['x', only]]) }])
    const whole = other.commit(staying, [stageOf(other, { x: 'again' })])
    const [first, second] = await Promise.allSettled([lacking, whole, ledger.prune(['going'])])
    expect(first).toMatchObject({ status: 'rejected', reason: { code: 'LEDGER_DAMAGED', details: { oid: only.oid } } })
    expect(await textsOf(ledger, (second as PromiseFulfilledResult<readonly string[]>).value[0]!)).toEqual({ a: 'a', x: 'again' })
    await other.close()
    if (!lacksGit) expectClean(dir)
  })

  it('removes what an earlier one has removed only a part of', async () => {
    const kept = await commit(undefined, { a: 'a' })
    await ledger.point('kept', kept)
    const before = new Set(packFolder())
    await commit(undefined, { f: 'shared' })
    const gone = packFolder().filter((name) => !before.has(name))
    const half = await commit(undefined, { 'd/g': 'shared', own: 'own' })
    await ledger.close()
    for (const name of gone) rmSync(join(dir, 'objects/pack', name))
    ledger = createLedger({ dir })
    await ledger.prune([])
    await expect(ledger.files(half)).rejects.toMatchObject({ code: 'LEDGER_DAMAGED' })
    expect(await textsOf(ledger, kept)).toEqual({ a: 'a' })
    if (!lacksGit) expectClean(dir)
  })

  it('removes nothing when it cannot tell what is needed', async () => {
    const first = await commit(undefined, { 'd/a': '1' })
    const second = await commit(undefined, { b: '2' })
    await ledger.point('first', first)
    await ledger.point('second', second)
    await ledger.close()
    writeFileSync(join(dir, 'refs/baton/third'), `${'7'.repeat(40)}\n`)
    ledger = createLedger({ dir })
    await expect(ledger.prune(['first'])).rejects.toMatchObject({
      code: 'LEDGER_DAMAGED',
      message: expect.stringContaining('refs/baton/third'),
    })
    expect(await textsOf(ledger, (await ledger.head('first'))!)).toEqual({ 'd/a': '1' })
    await ledger.prune(['first', 'third'])
    await expect(ledger.files(first)).rejects.toMatchObject({ code: 'LEDGER_DAMAGED' })
  })

  it.skipIf(lacksGit)('keeps what a ref needs that a person made with git', async () => {
    const first = await commit(undefined, { a: '1' })
    const second = await commit(first, { a: '2' })
    await ledger.point('task', second)
    expect(git(dir, '-c', 'user.name=x', '-c', 'user.email=x', 'tag', '-a', '-m', 'mine', 'kept', first).status).toBe(0)
    git(dir, 'pack-refs', '--all')
    // A loose tag object is none of the ledger's packs.
    git(dir, 'gc')
    await reopen()
    await ledger.prune(['task'])
    expect(await ledger.head('task')).toBeUndefined()
    expect(await textsOf(ledger, first)).toEqual({ a: '1' })
    await expect(ledger.files(second)).rejects.toMatchObject({ code: 'LEDGER_DAMAGED' })
    expectClean(dir)
  })
})

describe('a damaged ledger', () => {
  it('is said to be, naming what is missing, and other tasks go on', async () => {
    const whole = await commit(undefined, { w: 'whole' })
    const known = new Set(packFolder())
    const broken = await commit(undefined, { b: noise(2500, 1).toString('hex') })
    await ledger.close()
    const pack = packFolder().find((name) => name.endsWith('.pack') && !known.has(name))!
    truncateSync(join(dir, 'objects/pack', pack), 2500)
    ledger = createLedger({ dir })
    await expect(stateOf(ledger, broken)).rejects.toMatchObject({ code: 'LEDGER_DAMAGED', message: expect.stringContaining(dir) })
    expect(await textsOf(ledger, whole)).toEqual({ w: 'whole' })
    expect(await textsOf(ledger, await commit(whole, { w2: 'more' }))).toEqual({ w: 'whole', w2: 'more' })
  })

  it('finds flipped bits in content, in an index and in a ref', async () => {
    const id = await commit(undefined, { a: noise(1500, 1).toString('hex') })
    await ledger.point('task', id)
    await ledger.close()
    const path = join(dir, 'objects/pack', packFolder().find((name) => name.endsWith('.pack'))!)
    flip(path, Math.floor(statSync(path).size / 2))
    ledger = createLedger({ dir })
    await expect(stateOf(ledger, id)).rejects.toMatchObject({ code: 'LEDGER_DAMAGED' })
    await ledger.close()
    flip(path.replace('.pack', '.idx'), 1100)
    ledger = createLedger({ dir })
    await expect(ledger.files(id)).rejects.toMatchObject({ code: 'LEDGER_DAMAGED', details: { file: expect.stringContaining('.idx') } })
    writeFileSync(join(dir, 'refs/baton/task'), '')
    await expect(ledger.head('task')).rejects.toMatchObject({ code: 'LEDGER_DAMAGED', details: { ref: 'refs/baton/task' } })
  })

  it('removes what a process that died left behind a day ago', async () => {
    await commit(undefined, { a: 'a' })
    await ledger.close()
    const names = ['tmp_pack_0', 'tmp_idx_0', `pack-${'0'.repeat(40)}.pack`]
    for (const name of [...names, 'tmp_pack_1']) writeFileSync(join(dir, 'objects/pack', name), 'x')
    for (const name of names) utimesSync(join(dir, 'objects/pack', name), 1e9, 1e9)
    ledger = createLedger({ dir })
    await commit(undefined, { b: 'b' })
    expect(packFolder().filter((name) => names.includes(name))).toEqual([])
    expect(packFolder()).toContain('tmp_pack_1')
  })
})

describe('plain git on a ledger', () => {
  it.skipIf(lacksGit)('reads a log whose authors are the actors', async () => {
    const files = new Map()
    const actors = [
      { kind: 'human', id: 'ada@example.com', name: 'Ada <ada>\nLovelace\0' },
      { kind: 'agent', id: 'coder <1>\n2%' },
      { kind: 'system', id: 'baton', name: ' \t ' },
      { kind: 'human', id: ' ', name: 'Zoë \u{1f600} \ud800' },
    ] as const
    const ids = await ledger.commit(
      undefined,
      actors.map((author, index) => ({ author, message: `subject ${index}\n\nEvents: 1-2\0\ud800`, files })),
    )
    await ledger.point('task', ids.at(-1)!)
    expectClean(dir)
    const log = git(dir, 'log', '--reverse', '--format=%an|%ae|%cn|%s|%(trailers:key=Events,valueonly,separator=%x2C)', 'refs/baton/task')
    expect(log.output.toString()).toBe(
      [
        'Ada %3Cada%3E Lovelace%00|ada@example.com@human.baton|baton|subject 0|1-2\u2400\ufffd',
        'coder %3C1%3E 2%|coder%20%3C1%3E%0A2%25@agent.baton|baton|subject 1|1-2\u2400\ufffd',
        'baton|baton@system.baton|baton|subject 2|1-2\u2400\ufffd',
        'Zoë \u{1f600} \ufffd|%20@human.baton|baton|subject 3|1-2\u2400\ufffd',
        '',
      ].join('\n'),
    )
  })

  it.skipIf(lacksGit)('lists the same files, whatever their names', async () => {
    const names = ['a b', 'new\nline', 'tab\t"quote"', '\udcff\udc80.bin', 'é/\udce9', '日本', '-dash', 'a\\b', ' ']
    const id = await commit(undefined, Object.fromEntries(names.map((name, index) => [name, `${index}`])))
    await ledger.point('task', id)
    expectClean(dir)
    expect([...(await ledger.files(id)).keys()].toSorted()).toEqual(names.toSorted())
    const listed = git(dir, 'ls-tree', '-r', '-z', '--name-only', id).output
    expect(listed.includes(Buffer.from([0xff, 0x80, 0x2e, 0x62, 0x69, 0x6e, 0]))).toBe(true)
    expect(listed.filter((byte) => byte === 0)).toHaveLength(names.length)
  })

  it.skipIf(lacksGit)('complains only of names that the workspace itself holds, and they are kept', async () => {
    const names = ['.GIT/x', 'git~1', '.gitmodules']
    const id = await commit(undefined, Object.fromEntries(names.map((name) => [name, '[x'])))
    await ledger.point('task', id)
    expect([...(await ledger.files(id)).keys()].toSorted()).toEqual(names.toSorted())
    const { output, errors } = git(dir, 'fsck', '--strict', '--no-progress', '--no-dangling')
    const complaints = (output.toString() + errors).split('\n').filter((line) => line !== '' && !line.startsWith('notice:'))
    expect(complaints.filter((line) => !/hasDotgit|gitmodules/.test(line))).toEqual([])
  })

  it.skipIf(lacksGit)('may pack it anew, and the ledger goes on', async () => {
    let head: string | undefined
    for (let number = 0; number < 12; number++) head = await commit(head, { f: `${'same\n'.repeat(200)}${number}`, [`g${number}`]: 'g' })
    await ledger.point('task', head!)
    await ledger.point('other', await commit(undefined, { o: 'o' }))
    expect(git(dir, 'gc', '--quiet').status).toBe(0)
    expect(existsSync(join(dir, 'refs/baton/task'))).toBe(true)
    expect(Object.keys(await textsOf(ledger, head!))).toHaveLength(13)
    head = await commit(head, { h: 'h' })
    await ledger.point('task', head)
    await ledger.prune(['other'])
    expect(Object.keys(await textsOf(ledger, head))).toHaveLength(14)
    expectClean(dir)
  })

  it.skipIf(lacksGit)('may write an index with large offsets, which a pack of more than 2 GiB has', async () => {
    const id = await commit(undefined, { a: 'a', b: 'b' })
    await ledger.close()
    const pack = join(dir, 'objects/pack', packFolder().find((name) => name.endsWith('.pack'))!)
    rmSync(pack.replace('.pack', '.idx'))
    expect(git(dir, 'index-pack', '--index-version=2,0x20', pack).status).toBe(0)
    ledger = createLedger({ dir })
    expect(await textsOf(ledger, id)).toEqual({ a: 'a', b: 'b' })
  })
})

describe('createTemporaryLedger', () => {
  it('keeps a ledger until it is closed', async () => {
    const temporary = createTemporaryLedger()
    const [id] = await temporary.commit(undefined, [stageOf(temporary, { a: 'a' })])
    await temporary.point('task', id!)
    expect(await textsOf(temporary, id!)).toEqual({ a: 'a' })
    expect(statSync(temporary.dir).mode & 0o077).toBe(0)
    await temporary.close()
    expect(existsSync(temporary.dir)).toBe(false)
    await temporary.close()
  })
})

/** What stands beside the packs too. */
function packFolder(): string[] {
  return readdirSync(join(dir, 'objects', 'pack'))
}

/** Bytes that cannot be deflated. */
function noise(bytes: number, seed: number): Buffer {
  return createHash('shake256', { outputLength: bytes }).update(`${seed}`).digest()
}

function flip(path: string, at: number): void {
  const content = readFileSync(path)
  content[at]! ^= 0xff
  writeFileSync(path, content)
}
