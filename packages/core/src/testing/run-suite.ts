import { messageOf } from '../errors.ts'
import type { TestFunction } from './conformance.ts'

/** What one test of a suite came to. */
export interface SuiteResult {
  readonly name: string
  /** Why it failed; absent where it passed. */
  readonly failure?: string
}

/** Runs a conformance suite by itself, one test after the other, to see which tests an implementation fails. */
export async function runSuite(define: (it: TestFunction) => void): Promise<readonly SuiteResult[]> {
  const tests: { name: string; run: () => Promise<void> }[] = []
  define((name, run) => tests.push({ name, run }))
  const results: SuiteResult[] = []
  for (const { name, run } of tests) {
    results.push(
      await run().then(
        () => ({ name }),
        (error: unknown) => ({ name, failure: messageOf(error) }),
      ),
    )
  }
  return results
}
