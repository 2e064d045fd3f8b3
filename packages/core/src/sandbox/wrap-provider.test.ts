import { describe, expect, it } from 'vitest'
import { collect, expectRejection } from '../testing/conformance.ts'
import { createMemorySandboxProvider } from '../testing/memory-sandbox.ts'
import type { Sandbox, SandboxProvider } from './sandbox.ts'
import { wrapSandboxProvider } from './wrap-provider.ts'

const memory = createMemorySandboxProvider()

/** A provider whose sandboxes differ from those in memory. */
function providerOf(change: (sandbox: Sandbox) => Partial<Sandbox>, create: SandboxProvider['create'] = memory.create): SandboxProvider {
  return {
    ...memory,
    async create(spec, options) {
      const sandbox = await create(spec, options)
      return { ...sandbox, ...change(sandbox) }
    },
  }
}

describe('wrapSandboxProvider', () => {
  it('rejects at once when a create is aborted, and closes the sandbox that arrives late', async () => {
    const arrival = Promise.withResolvers<void>()
    const closed = Promise.withResolvers<void>()
    const slow = providerOf(
      (sandbox) => ({ close: () => sandbox.close().then(closed.resolve) }),
      async (spec) => {
        await arrival.promise
        return memory.create(spec)
      },
    )
    const stop = new AbortController()
    const creating = wrapSandboxProvider(slow).create({}, { signal: stop.signal })
    stop.abort(new Error('not wanted'))
    expect((await expectRejection(creating, 'ABORTED')).message).toContain('not wanted')
    arrival.resolve()
    await closed.promise
  })

  it('leaves a sandbox alone that was there before an attach that is aborted', async () => {
    const there = await memory.create({})
    const stop = new AbortController()
    const attaching = wrapSandboxProvider(memory).attach(there.id, { signal: stop.signal })
    stop.abort()
    await expectRejection(attaching, 'ABORTED')
    expect(await collect(there.scan())).toEqual([])
    await there.close()
  })

  it('closes once for calls at the same time, and again only after a failure', async () => {
    let calls = 0
    const failing = providerOf(() => ({
      async close() {
        if (++calls === 1) throw new Error('still busy')
      },
    }))
    const closed: string[] = []
    const sandbox = await wrapSandboxProvider(failing, { onClosed: ({ id }) => closed.push(id) }).create({})
    const error = await expectRejection(Promise.all([sandbox.close(), sandbox.close()]), 'SANDBOX_FAILED')
    expect(error.message).toContain('still busy')
    expect(calls).toBe(1)
    await Promise.all([sandbox.close(), sandbox.close()])
    await sandbox.close()
    expect(calls).toBe(2)
    expect(closed).toEqual([sandbox.id])
  })

  it('turns an unknown error into SANDBOX_FAILED with its cause, and leaves Baton errors as they are', async () => {
    const cause = new Error('socket hang up')
    const failing = providerOf(() => ({
      readFile: () => Promise.reject(cause),
      scan: async function* () {
        yield await Promise.reject(cause)
      },
      pack: () => new ReadableStream({ pull: (controller) => controller.error(cause) }),
    }))
    const sandbox = await wrapSandboxProvider(failing).create({})
    expect((await expectRejection(sandbox.readFile('x'), 'SANDBOX_FAILED')).cause).toBe(cause)
    expect((await expectRejection(collect(sandbox.scan()), 'SANDBOX_FAILED')).cause).toBe(cause)
    expect((await expectRejection(sandbox.pack().getReader().read(), 'SANDBOX_FAILED')).cause).toBe(cause)
    await expectRejection(sandbox.writeFile('../x', new Uint8Array()), 'PATH_OUTSIDE_WORKDIR')
  })

  it('tells of sandboxes that start, fresh or found again, and survives a hook that throws', async () => {
    const heard: unknown[] = []
    const provider = wrapSandboxProvider(memory, {
      onStarted({ id }, { fresh, ms }) {
        heard.push([id, fresh, ms >= 0])
        throw new Error('a listener that fails')
      },
    })
    const { id } = await provider.create({})
    await (await provider.attach(id)).close()
    expect(heard).toEqual([
      [id, true, true],
      [id, false, true],
    ])
  })

  it('offers an optional method only where the backend has it', async () => {
    const able = providerOf(() => ({ expose: async (port) => new URL(`http://127.0.0.1:${port}`) }))
    const sandbox = await wrapSandboxProvider(able).create({})
    expect(sandbox.snapshot).toBeUndefined()
    expect(String(await sandbox.expose?.(8080))).toBe('http://127.0.0.1:8080/')
    await sandbox.close()
    await expectRejection(sandbox.expose?.(8080) ?? Promise.resolve(), 'CLOSED')
  })
})
