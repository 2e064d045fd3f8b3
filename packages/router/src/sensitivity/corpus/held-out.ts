// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references in shells and templates, quoted.
import type { LookAlike, Planted } from './corpus.ts'

// Written before the rules and not looked at while they were tuned.

export const heldOutPlanted: readonly Planted[] = [
  [
    'docker-compose',
    'secret-assignment',
    (r) =>
      `services:\n  db:\n    image: postgres:17\n    environment:\n      POSTGRES_USER: app\n      POSTGRES_PASSWORD: «${r.password()}»\n    ports: ["5432:5432"]\n`,
  ],
  [
    'docker-compose list',
    'secret-assignment',
    (r) => `    environment:\n      - NODE_ENV=production\n      - SESSION_SECRET=«${r.base62(40)}»\n      - PORT=8080\n`,
  ],
  ['Dockerfile', 'secret-assignment', (r) => `FROM node:24-slim\nWORKDIR /app\nENV MAILER_API_KEY=«${r.hex(32)}»\nCOPY . .\nRUN npm ci\n`],
  [
    'github workflow',
    'github-token',
    (r) => `      - run: gh release create v1.2.0\n        env:\n          GH_TOKEN: «${'gh'}p_${r.base62(36)}»\n`,
  ],
  [
    'git remote',
    'github-token',
    (r) =>
      `[remote "origin"]\n\turl = https://x-access-token:«${'gh'}s_${r.base62(36)}»@github.com/acme/shop.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n`,
  ],
  [
    'python module',
    'aws-secret-key',
    (r) =>
      `import boto3\n\ns3 = boto3.client(\n    "s3",\n    aws_access_key_id=os.environ["AWS_ID"],\n    aws_secret_access_key="«${r.base64(40)}»",\n)\n`,
  ],
  ['aws credentials file', 'aws-access-key', (r) => `[default]\naws_access_key_id = «${'AK'}IA${r.base32(16)}»\nregion = eu-central-1\n`],
  [
    'aws cli debug log',
    'aws-access-key',
    (r) =>
      `2026-03-02 11:20:31,411 - MainThread - botocore.auth - DEBUG - CanonicalRequest: host:s3 X-Amz-Credential=«${'AS'}IA${r.base32(16)}»/20260302/eu-west-1/s3/aws4_request\n`,
  ],
  [
    'terraform',
    'secret-assignment',
    (r) => `resource "aws_db_instance" "main" {\n  engine   = "postgres"\n  username = "root"\n  password = "«${r.password()}»"\n}\n`,
  ],
  [
    'terraform state',
    'secret-assignment',
    (r) =>
      `{"resources":[{"type":"random_password","instances":[{"attributes":{"id":"none","length":24,"secret_key":"«${r.base62(24)}»","special":false}}]}]}`,
  ],
  [
    'kubernetes secret',
    'secret-assignment',
    (r) => `apiVersion: v1\nkind: Secret\nmetadata:\n  name: api\nstringData:\n  API_TOKEN: «${r.base64url(43)}»\n`,
  ],
  [
    'kubernetes deployment',
    'secret-assignment',
    (r) =>
      `        env:\n        - name: LOG_LEVEL\n          value: debug\n        - name: DB_PASSWORD\n          value: "«${r.password()}»"\n`,
  ],
  [
    'diff',
    'stripe-key',
    (r) =>
      `--- a/config/payments.js\n+++ b/config/payments.js\n@@ -3,7 +3,7 @@ module.exports = {\n   currency: 'eur',\n-  key: process.env.STRIPE_KEY,\n+  key: '«${'sk'}_live_${r.base62(24)}»',\n   retries: 3,\n`,
  ],
  [
    'diff, removed line',
    'secret-assignment',
    (r) => `@@ -10,3 +10,3 @@\n-    password: "«${r.password()}»",\n+    password: process.env.DB_PASSWORD,\n     port: 5432,\n`,
  ],
  [
    'shell history',
    'openai-key',
    (r) => `cd ~/src/bot\nexport OPENAI_API_KEY=«${'sk'}-proj-${r.base64url(74)}T3Blbk${'FJ'}${r.base64url(74)}»\npython main.py\n`,
  ],
  [
    'shell history with time stamps',
    'basic-auth',
    (r) => `#1767211200\ncurl -u «deploy:${r.password()}» https://repo.acme.example/upload -T build.tar.gz\n#1767211260\nls\n`,
  ],
  [
    'curl command',
    'bearer-token',
    (r) => `$ curl -s -H "Authorization: Bearer «${r.base62(48)}»" https://api.acme.example/v2/orders | jq .\n`,
  ],
  ['http log', 'jwt', (r) => `GET /me HTTP/1.1\r\nHost: api.acme.example\r\nAuthorization: Bearer «${r.jwt()}»\r\nAccept: */*\r\n\r\n`],
  [
    'stack trace',
    'connection-string',
    (r) =>
      `sqlalchemy.exc.OperationalError: (psycopg2.OperationalError) could not connect to server\n  File "/srv/app/db.py", line 14, in connect\n    create_engine("postgresql://app:«${r.base62(14)}»@db.internal:5432/app")\n`,
  ],
  [
    'node stack trace',
    'connection-string',
    (r) =>
      `MongoServerError: bad auth : Authentication failed.\n    at Connection.onMessage (/app/node_modules/mongodb/lib/cmap/connection.js:230:30)\n  uri: 'mongodb+srv://writer:«${r.password().replace(/[?#%&*!$]/, '_')}»@cluster0.ab1cd.mongodb.example/prod'\n`,
  ],
  [
    'java properties',
    'secret-assignment',
    (r) =>
      `spring.datasource.url=jdbc:postgresql://db:5432/app\nspring.datasource.username=app\nspring.datasource.password=«${r.password()}»\n`,
  ],
  ['spring yaml', 'secret-assignment', (r) => `spring:\n  rabbitmq:\n    host: mq\n    username: shop\n    password: «${r.base62(20)}»\n`],
  [
    'appsettings.json',
    'connection-string',
    (r) =>
      `{\n  "ConnectionStrings": {\n    "Default": "Server=tcp:sql.acme.example,1433;Database=shop;User ID=shop;Password=«${r.base62(18)}»;Encrypt=True;"\n  }\n}\n`,
  ],
  [
    'azure app settings',
    'azure-storage-key',
    (r) =>
      `AzureWebJobsStorage="DefaultEndpointsProtocol=https;AccountName=acmestore;AccountKey=«${r.base64(86)}==»;EndpointSuffix=core.windows.net"\n`,
  ],
  [
    'notebook',
    'openai-key',
    (r) =>
      `{"cells":[{"cell_type":"code","source":["import openai\\n","openai.api_key = \\"«${'sk'}-${r.base62(20)}T3Blbk${'FJ'}${r.base62(20)}»\\"\\n"]}]}`,
  ],
  [
    'notebook output',
    'github-token',
    (r) => `{"output_type":"stream","text":["Cloning with token\\n«${'github'}_pat_${r.base62(22)}_${r.base62(59)}»\\ndone\\n"]}`,
  ],
  [
    'notebook',
    'huggingface-token',
    (r) => `{"source":["from huggingface_hub import login\\n","login(token=\\"«${'hf'}_${r.base62(34)}»\\")\\n"]}`,
  ],
  [
    'gitlab ci',
    'gitlab-token',
    (r) => `deploy:\n  script:\n    - git push https://oauth2:«${'gl'}pat-${r.base64url(20)}»@gitlab.acme.example/shop.git\n`,
  ],
  [
    'slack bot source',
    'slack-token',
    (r) =>
      `const app = new App({\n  signingSecret: process.env.SIGNING,\n  token: '«${'xo'}xb-${r.digits(12)}-${r.digits(13)}-${r.base62(24)}»',\n})\n`,
  ],
  [
    'alerting config',
    'slack-webhook',
    (r) =>
      `receivers:\n- name: ops\n  slack_configs:\n  - api_url: «https://hooks.${'slack'}.com/services/T${r.upper(8)}/B${r.upper(10)}/${r.base62(24)}»\n    channel: '#alerts'\n`,
  ],
  [
    'google maps html',
    'google-api-key',
    (r) => `<script async src="https://maps.googleapis.com/maps/api/js?key=«${'AI'}za${r.base64url(35)}»&callback=init"></script>\n`,
  ],
  [
    'service account json',
    'private-key',
    (r) =>
      `{\n  "type": "service_account",\n  "project_id": "acme-prod",\n  "private_key": "«${r.pem('PRIVATE KEY', 24, '\\n')}»\\n",\n  "client_id": "1122"\n}\n`,
  ],
  ['npmrc', 'npm-token', (r) => `registry=https://registry.npmjs.org/\n//registry.npmjs.org/:_authToken=«${'np'}m_${r.base62(36)}»\n`],
  [
    'npmrc of a private registry',
    'secret-assignment',
    (r) => `@acme:registry=https://npm.acme.example/\n//npm.acme.example/:_authToken=«${r.base64(43)}=»\nalways-auth=true\n`,
  ],
  ['pypirc', 'pypi-token', (r) => `[pypi]\n  username = __token__\n  password = «${'pypi'}-AgEIcHlwaS5vcmc${r.base64url(150)}»\n`],
  [
    'ruby initializer',
    'sendgrid-key',
    (r) =>
      `ActionMailer::Base.smtp_settings = {\n  user_name: 'apikey',\n  password: '«${'SG'}.${r.base64url(22)}.${r.base64url(43)}»',\n  address: 'smtp.sendgrid.net'\n}\n`,
  ],
  [
    'php config',
    'secret-assignment',
    (r) => `<?php\ndefine('DB_USER', 'wp');\ndefine('DB_PASSWORD', '«${r.password()}»');\ndefine('DB_HOST', 'localhost');\n`,
  ],
  ['twilio', 'twilio-key', (r) => `client = Client("«${'SK'}${r.hex(32)}»", os.environ["TWILIO_SECRET"], account)\n`],
  [
    'ssh key pasted in chat',
    'private-key',
    (r) => `Hi, I can't log in with this key, what is wrong with it?\n\n«${r.pem('OPENSSH PRIVATE KEY', 6)}»\n\nThanks!\n`,
  ],
  ['encrypted pem in yaml', 'private-key', (r) => `tls:\n  key: |\n    «${r.pem('RSA PRIVATE KEY', 14, '\n    ')}»\n  port: 443\n`],
  [
    'cut off pem in a log',
    'private-key',
    (r) => `[debug] loaded key «-----${'BEGIN'} EC PRIVATE KEY-----\n${r.base64(64)}\n${r.base64(40)}»... (truncated)\n`,
  ],
  [
    'anthropic in go',
    'anthropic-key',
    (r) => `func main() {\n\tclient := anthropic.NewClient(option.WithAPIKey("«${'sk'}-ant-api03-${r.base64url(93)}AA»"))\n`,
  ],
  ['csharp', 'secret-assignment', (r) => `private const string ClientSecret = "«${r.base62(5)}~${r.base62(34)}»";\n`],
  [
    'kotlin gradle',
    'secret-assignment',
    (r) =>
      `signingConfigs {\n  create("release") {\n    storeFile = file("release.jks")\n    storePassword = "«${r.password()}»"\n    keyAlias = "upload"\n  }\n}\n`,
  ],
  [
    'ansible vars',
    'secret-assignment',
    (r) => `---\ngrafana_admin_user: admin\ngrafana_admin_password: '«${r.password()}»'\ngrafana_port: 3000\n`,
  ],
  [
    'xml settings',
    'secret-assignment',
    (r) => `<server>\n  <id>releases</id>\n  <username>ci</username>\n  <password>«${r.password()}»</password>\n</server>\n`,
  ],
  ['netrc', 'secret-assignment', (r) => `machine git.acme.example\n  login bot\n  password «${r.base62(22)}»\n`],
  ['sql script', 'secret-assignment', (r) => `CREATE ROLE app LOGIN PASSWORD '«${r.password()}»';\nGRANT ALL ON DATABASE shop TO app;\n`],
  ['redis url', 'connection-string', (r) => `REDIS_URL=redis://:«${r.base62(32)}»@redis-12.acme.example:6379/0\n`],
  ['amqp in json', 'connection-string', (r) => `{"broker": "amqps://svc:«${r.base62(16)}»@mq.acme.example/vhost", "prefetch": 20}`],
  ['browser log', 'basic-auth', (r) => `Navigated to https://admin:«${r.base62(12)}»@staging.acme.example/dashboard\n`],
  ['customer export', 'card-number', (r) => `id,name,card,expires\n1001,J. Doe,«${r.card('4')}»,09/28\n`],
  [
    'support ticket',
    'card-number',
    (r) => `The charge on my card «${r.card('51').replace(/(.{4})(?=.)/g, '$1 ')}» was made twice on Monday, please check.\n`,
  ],
  ['amex in a test log', 'card-number', (r) => `INFO  payment accepted pan=«${r.card('37', 15)}» amount=12.00\n`],
  ['invoice', 'iban', (r) => `Please pay to IBAN «${r.iban('DE', 18).replace(/(.{4})(?=.)/g, '$1 ')}» within 14 days.\n`],
  ['sepa xml', 'iban', (r) => `<CdtrAcct><Id><IBAN>«${r.iban('FR', 23)}»</IBAN></Id></CdtrAcct>\n`],
  [
    'git log',
    'email',
    (r) => `commit ${r.hex(40)}\nAuthor: Maria Keller <«maria.keller@${'acme'}-industries.de»>\nDate:   Mon Mar 2 10:00:00 2026 +0100\n`,
  ],
  ['csv', 'email', () => `name;mail\nBo Li;«bo.li+news@mail.${'northwind'}.co.uk»\n`],
  ['signature', 'phone', () => `Kind regards\nAnna Novak\nHead of Sales\nPhone: «+49 30 ${'5683'} 4412»\n`],
  ['contact page', 'phone', () => `Call us toll free at «(212) ${'736'}-5000» from 9 to 5.\n`],
  [
    'vault dev log',
    'vault-token',
    (r) => `Unseal Key: hidden\nRoot Token: «${'hv'}s.${r.base62(24)}»\nDevelopment mode should NOT be used in production\n`,
  ],
  [
    'age key file',
    'private-key',
    (r) => `# created: 2026-02-01T10:00:00Z\n# public key: age1${r.lower(58)}\n«AGE-SECRET-${'KEY'}-1${r.upper(58)}»\n`,
  ],
  ['digitalocean', 'provider-token', (r) => `provider "digitalocean" {\n  token = "«${'do'}p_v1_${r.hex(64)}»"\n}\n`],
  ['shopify env', 'provider-token', (r) => `SHOPIFY_ADMIN=«${'sh'}pat_${r.hex(32)}»\nSHOP=acme\n`],
  ['telegram bot', 'provider-token', (r) => `bot = telebot.TeleBot("«${r.digits(10)}:AA${r.base64url(33)}»")\n`],
  ['cookie header', 'secret-assignment', (r) => `> GET /account HTTP/2\n> cookie: session_token=«${r.base64url(64)}»; theme=dark\n`],
  [
    'command line in ps output',
    'secret-assignment',
    (r) => `root  4121  0.0  mysqldump --user=backup --password=«${r.base62(15)}» --all-databases\n`,
  ],
  [
    'url query in access log',
    'secret-assignment',
    (r) => `10.0.0.7 - - [02/Mar/2026:10:12:01] "GET /v1/report?year=2026&api_key=«${r.hex(40)}» HTTP/1.1" 200 532\n`,
  ],
]

export const heldOutLookAlikes: readonly LookAlike[] = [
  ['env example', () => 'DATABASE_URL=postgres://user:password@localhost:5432/app\nSECRET_KEY=change-me\nAPI_TOKEN=your_api_token_here\n'],
  ['env empty', () => 'STRIPE_SECRET_KEY=\nOPENAI_API_KEY=""\nJWT_SECRET=\n'],
  [
    'env reference',
    () => 'export AWS_SECRET_ACCESS_KEY="$(pass show aws/secret)"\nexport TOKEN=$CI_JOB_TOKEN\nPASSWORD="${DB_PASSWORD:-}"\n',
  ],
  [
    'yarn lock',
    (r) =>
      `"@babel/core@^7.26.0":\n  version "7.26.0"\n  resolved "https://registry.yarnpkg.com/@babel/core/-/core-7.26.0.tgz#${r.hex(40)}"\n  integrity sha512-${r.base64(86)}==\n`,
  ],
  [
    'package lock',
    (r) =>
      `    "node_modules/tokenize": {\n      "version": "2.1.0",\n      "resolved": "https://registry.npmjs.org/tokenize/-/tokenize-2.1.0.tgz",\n      "integrity": "sha512-${r.base64(86)}=="\n    },\n`,
  ],
  ['pnpm lock', (r) => `  jsonwebtoken@9.0.2:\n    resolution: {integrity: sha512-${r.base64(86)}==}\n    engines: {node: '>=12'}\n`],
  [
    'cargo lock',
    (r) =>
      `[[package]]\nname = "secrecy"\nversion = "0.10.3"\nsource = "registry+https://github.com/rust-lang/crates.io-index"\nchecksum = "${r.hex(64)}"\n`,
  ],
  ['go sum', (r) => `golang.org/x/oauth2 v0.24.0 h1:${r.base64(43)}=\ngolang.org/x/oauth2 v0.24.0/go.mod h1:${r.base64(43)}=\n`],
  [
    'composer lock',
    (r) =>
      `            "dist": {\n                "type": "zip",\n                "reference": "${r.hex(40)}",\n                "shasum": ""\n            },\n            "content-hash": "${r.hex(32)}"\n`,
  ],
  ['git log', (r) => `commit ${r.hex(40)}\nMerge: ${r.hex(7)} ${r.hex(7)}\n\n    Rotate the token signing key (#412)\n`],
  ['git diff header', (r) => `diff --git a/src/auth/password.ts b/src/auth/password.ts\nindex ${r.hex(7)}..${r.hex(7)} 100644\n`],
  [
    'typescript type',
    () =>
      'export interface Credentials {\n  username: string\n  password: string\n  apiKey?: string | undefined\n  accessToken: AccessToken\n}\n',
  ],
  [
    'zod schema',
    () => 'const Login = z.object({ email: z.string().email(), password: z.string().min(12), token: z.string().optional() })\n',
  ],
  [
    'react form',
    () =>
      '<input type="password" name="password" autoComplete="current-password" placeholder="Enter your password" aria-label="Password" />\n',
  ],
  [
    'translations',
    () =>
      '{\n  "password": "Passwort",\n  "passwordForgotten": "Passwort vergessen?",\n  "tokenExpired": "Ihre Sitzung ist abgelaufen, bitte neu anmelden",\n  "secretQuestion": "Sicherheitsfrage"\n}\n',
  ],
  [
    'python reading env',
    () => 'SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]\nAPI_KEY = os.getenv("API_KEY", "")\npassword = getpass.getpass()\n',
  ],
  [
    'node reading env',
    () =>
      "const token = process.env.GITHUB_TOKEN\nconst apiKey = config.get('stripe.apiKey')\nconst password = await prompt('Password: ')\n",
  ],
  [
    'go config struct',
    () => 'type Config struct {\n\tPassword string `json:"password" yaml:"password"`\n\tAPIKey   string `env:"API_KEY,required"`\n}\n',
  ],
  [
    'terraform reference',
    () =>
      'resource "aws_db_instance" "main" {\n  password = var.db_password\n  kms_key_id = aws_kms_key.main.arn\n  master_password = random_password.master.result\n}\n',
  ],
  ['github actions', () => '        env:\n          NPM_TOKEN: ${{ secrets.NPM_TOKEN }}\n          GITHUB_TOKEN: ${{ github.token }}\n'],
  ['helm template', () => '  password: {{ .Values.postgres.password | b64enc | quote }}\n  token: "{{ vault.token }}"\n'],
  [
    'k8s secretKeyRef',
    () =>
      '        - name: DB_PASSWORD\n          valueFrom:\n            secretKeyRef:\n              name: postgres-credentials\n              key: postgres-password\n',
  ],
  [
    'css',
    (r) => `.token.keyword{color:#${r.hex(6)};font-weight:600}.token-string{background:url(data:image/svg+xml;base64,${r.base64(120)})}`,
  ],
  ['base64 image', (r) => `![logo](data:image/png;base64,iVBORw0KGgoAAAANSUhEUg${r.base64(400)}==)\n`],
  [
    'minified javascript',
    () =>
      '!function(e,t){var n=e.token||"",r=t.key,i=function(a){return a.password=a.secret||null,a};e.apiKey=i(r),window.authToken=function(){return n+r}}(this,{key:"k"});',
  ],
  [
    'source map',
    (r) =>
      `{"version":3,"file":"auth.js","sources":["../src/token.ts"],"names":[],"mappings":"AAAA,${r.pick(['SAAS', 'OAAO'])},KAAK,EAAE,CAAC;IACR,OAAO,GAAG,CAAC,${'CAAC,GAAG,EAAE;'.repeat(20)}"}\n`,
  ],
  ['uuid list', (r) => `key: ${r.uuid()}\ntoken_id: ${r.uuid()}\ncorrelationKey=${r.uuid()}\n`],
  ['etag', (r) => `< HTTP/2 200\n< etag: "${r.hex(32)}"\n< x-amz-request-id: ${r.upper(16)}\n< x-amz-id-2: ${r.base64(75)}=\n`],
  ['docker digest', (r) => `FROM node:24@sha256:${r.hex(64)}\nLABEL org.opencontainers.image.revision=${r.hex(40)}\n`],
  [
    'sri in html',
    (r) => `<script src="https://cdn.acme.example/a.js" integrity="sha384-${r.base64(64)}" crossorigin="anonymous"></script>\n`,
  ],
  ['public key pem', (r) => `${r.pem('PUBLIC KEY', 6)}\n`],
  ['certificate', (r) => `${r.pem('CERTIFICATE', 18)}\n`],
  ['ssh public key', (r) => `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${r.base64(43)} ops\n`],
  ['known hosts', (r) => `|1|${r.base64(27)}=|${r.base64(27)}= ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ${r.base64(300)}\n`],
  ['pem mentioned', () => 'The file has to start with `-----BEGIN PRIVATE KEY-----`; otherwise convert it with openssl pkcs8.\n'],
  [
    'aws documentation key',
    () => `aws_access_key_id = ${'AK'}IAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY${'EXAMPLEKEY'}\n`,
  ],
  ['masked', () => 'token: ghp_************************************\npassword=********\napi_key: sk-...redacted...\n'],
  [
    'regular expressions',
    () => 'const patterns = [/ghp_[A-Za-z0-9]{36}/, /AKIA[0-9A-Z]{16}/, /sk_live_[0-9a-zA-Z]{24,}/, /xox[baprs]-[0-9a-zA-Z-]+/]\n',
  ],
  [
    'prose',
    () =>
      'To rotate the password: open Settings, choose Security, and set a new token. The secret: never reuse one. API key: see the handbook.\n',
  ],
  ['timestamps and ids', (r) => `ts=17672112${r.digits(5)} span=${r.hex(16)} trace=${r.hex(32)} duration_ms=12\n`],
  ['order numbers', () => 'Order 1234567890123456 shipped; tracking 9400111899223197428497; batch 20260302101500.\n'],
  ['digits of pi', () => '3.14159265358979323846264338327950288419716939937510582097494459\n'],
  ['iban with a wrong check', () => 'Example: DE00 1234 5678 9012 3456 78, GB11 ABCD 1234 5678 9012 34\n'],
  [
    'versions and addresses',
    () => 'Server 10.20.30.40:8443, protocol 1.2.3, build 2026.03.02.1015, range 192.168.100.200-192.168.100.250\n',
  ],
  [
    'npm scope and decorators',
    () => "import { Component } from '@angular/core'\n@Injectable()\nexport class TokenService {}\nnpm i @types/node@22.20.5 react@19\n",
  ],
  ['ssh url', () => 'git clone git@github.com:acme/shop.git && git remote add up ssh://git@gitlab.acme.example/shop.git\n'],
  [
    'test fixture placeholders',
    () =>
      "const user = { name: 'alice', password: 'password', token: 'test-token', apiKey: 'dummy' }\nexpect(login('alice', 'secret')).rejects.toThrow()\n",
  ],
  [
    'cache keys',
    (r) =>
      `- uses: actions/cache@v5\n  with:\n    key: node-modules-\${{ hashFiles('package-lock.json') }}\n    restore-keys: linux-${r.hex(40)}\n`,
  ],
  ['pagination', (r) => `{"items":[],"nextPageToken":"${r.base62(24)}","pageKey":12}`],
  ['token counts', () => 'max_tokens: 4096, prompt_tokens=1834, token_limit = 128000, "total_tokens": 20145\n'],
  [
    'key names',
    () => 'primary_key = "customer_id_and_order_id"\nsort_key = "created_at_2026_descending"\nkeyName: "ssh-production-eu-west-1a"\n',
  ],
  [
    'password policy',
    () =>
      'password_min_length = 12\npassword_policy: "at-least-12-characters-with-1-digit"\npassword_reset_url = "https://acme.example/reset/2026"\n',
  ],
  ['keycodes', () => "if (event.key === 'ArrowDown' && event.code !== 'NumpadEnter2') token = tokens[index + 1]\n"],
  ['sha comments', (r) => `// generated from schema ${r.hex(64)}, do not edit\nexport const schemaKey = 'orders/v2'\n`],
  ['bcrypt in docs', () => 'The column password_hash holds a bcrypt string; see `hashPassword(password: string): Promise<string>`.\n'],
  ['phone-like', () => 'ISBN 978-3-16-148410-0, ports 3000-3010, rfc 2822-3339, 2026-03-02 10:15:00, 555.12.1\n'],
  ['color and easing', () => '--key-light: #fafafa; transition: all 120ms cubic-bezier(0.4, 0, 0.2, 1); content: "\\f0c9";\n'],
  [
    'protobuf',
    () => 'message AuthRequest {\n  string access_token = 1;\n  bytes secret = 2;\n  string password = 3 [deprecated = true];\n}\n',
  ],
  [
    'sql schema',
    () =>
      'CREATE TABLE users (\n  id bigint PRIMARY KEY,\n  password_hash varchar(255) NOT NULL,\n  api_token char(64) UNIQUE,\n  secret text DEFAULT NULL\n);\n',
  ],
  [
    'openapi',
    () =>
      'securitySchemes:\n  apiKey:\n    type: apiKey\n    name: X-API-Key\n    in: header\n  token:\n    type: http\n    scheme: bearer\n',
  ],
]
