import { describe, expect, it } from 'vitest'
import type { LedgerFile } from '../ledger/ledger.ts'
import type { PathState, Verdict } from './attribution.ts'
import { attribute } from './attribution.ts'

const alice = { kind: 'human', id: 'alice' } as const
const verdict: Verdict = { actor: alice, evidence: 'lease' }
const state = (sha256: string): PathState => ({ sha256, file: { mode: '100644', oid: sha256 } satisfies LedgerFile })

describe('attribute', () => {
  it('passes over the record of a write that a look saw before it was recorded', () => {
    const recorded = [{ actor: alice, before: 'old', after: 'new', file: undefined }]
    const seen = { path: 'a', before: state('new'), now: state('new'), recorded }
    expect(attribute([seen], verdict)).toEqual({ steps: [], found: [] })
    const later = { ...seen, now: state('later') }
    expect(attribute([later], verdict).found).toEqual([{ path: 'a', from: state('new'), to: state('later'), verdict }])
  })

  it('holds who may have written in the window to be who wrote over what was recorded, and before it', () => {
    const recorded = [{ actor: { kind: 'agent', id: 'coder' } as const, before: 'between', after: 'new', file: undefined }]
    const { found } = attribute([{ path: 'a', before: state('old'), now: state('newer'), recorded }], verdict)
    expect(found.map(({ from, to, verdict: { actor } }) => [from.sha256, to.sha256, actor.id])).toEqual([
      ['old', 'between', 'alice'],
      ['new', 'newer', 'alice'],
    ])
  })
})
