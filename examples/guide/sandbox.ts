import { createLocalSandboxProvider } from '@baton-sdk/core'
import { exec } from '@baton-sdk/core/plugin'

const provider = createLocalSandboxProvider({ isolation: 'auto' })
const sandbox = await provider.create({ env: { GREETING: 'hello' }, labels: { for: 'the guide' } })
console.log('isolation:', sandbox.isolation)

await sandbox.writeFile('greet.sh', Buffer.from('echo "$GREETING from $(basename "$PWD")"; exit 3\n'))
const { exit, stdout } = await exec(sandbox, 'sh greet.sh', { timeoutMs: 10_000 })
console.log(exit.reason, exit.code, stdout.trim()) // a command that fails is a result

const slow = await exec(sandbox, 'sleep 60', { timeoutMs: 100 })
console.log(slow.exit.reason)

// Keys of this process do not reach commands.
process.env.SECRET_KEY = 'hush'
console.log((await exec(sandbox, 'echo "key: $SECRET_KEY"')).stdout.trim())

await sandbox.readFile('../outside').catch((error) => console.log(error.code))
await sandbox.close() // ends its processes, and removes its folder
