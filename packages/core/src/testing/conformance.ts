import assert from 'node:assert/strict'
import type { BatonErrorCode } from '../errors.ts'
import { BatonError } from '../errors.ts'

/** What a conformance suite hands its tests to: `it` of vitest, `test` of node:test, or anything of their shape. */
export type TestFunction = (name: string, run: () => Promise<void>) => unknown

/** Checks that a call rejects with a Baton error of the code, and returns that error. */
export async function expectRejection(promise: Promise<unknown>, code: BatonErrorCode): Promise<BatonError> {
  const error = await promise.then(
    (value) => assert.fail(`expected a rejection with ${code}, but it resolved with ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  )
  if (BatonError.isInstance(error, code)) return error
  throw new assert.AssertionError({
    message: `expected a rejection with ${code}, but it was ${String(error)}`,
    actual: error,
    expected: code,
  })
}

/** All that an iterable yields, in order. */
export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) items.push(item)
  return items
}
