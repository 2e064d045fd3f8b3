import { describe, it } from 'vitest'
import { testSandboxProvider } from '../testing/test-sandbox-provider.ts'
import { createLocalSandboxProvider } from './local-sandbox.ts'

describe('createLocalSandboxProvider, isolation none', () => {
  testSandboxProvider(it, { provider: () => createLocalSandboxProvider({ isolation: 'none' }), can: { tty: true, detached: true } })
})
describe('createLocalSandboxProvider, isolation process', () => {
  testSandboxProvider(it, {
    provider: () => createLocalSandboxProvider({ isolation: 'process' }),
    can: { tty: true, detached: true, signals: false },
  })
})
