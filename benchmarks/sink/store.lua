-- What S3 and STS answer, as far as uploading tools ask. One worker, so that plain tables count.
local store = {}
local count, round_trip, acknowledged, remembers

local function blank()
  acknowledged = {}
  count = { objects = 0, object_bytes = 0, parts = 0, part_bytes = 0, completed = 0, lists = 0, heads = 0, other = 0,
            in_flight = 0, most_in_flight = 0 }
end
blank()
round_trip = 0

local SESSION = string.rep("SessionToken", 80)
local ASSUMED = [[<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIABENCHMARK0000000</AccessKeyId><SecretAccessKey>benchmark</SecretAccessKey>
<SessionToken>]] .. SESSION .. [[</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
<AssumedRoleUser><Arn>arn:aws:sts::222222222222:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser>
</AssumeRoleResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleResponse>]]
local LISTED = [[<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bench</Name><KeyCount>0</KeyCount>
<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>]]
local BEGUN = [[<InitiateMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>bench</Bucket>
<Key>k</Key><UploadId>upload-1</UploadId></InitiateMultipartUploadResult>]]
local COMPLETED = [[<CompleteMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>bench</Bucket>
<Key>k</Key><ETag>"sink-2"</ETag></CompleteMultipartUploadResult>]]

-- What a second pass finds listed: a thousand files in each of so many directories, a directory a page (million.py).
local directories = 0
local ENTRY = "<Contents><Key>%02d/%04d/file-%04d.csv</Key><LastModified>2030-01-01T00:00:00.000Z</LastModified>"
  .. "<ETag>&quot;sink-1&quot;</ETag><Size>100</Size><StorageClass>STANDARD</StorageClass></Contents>"
local PAGE = [[<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bench</Name><KeyCount>1000</KeyCount>
<MaxKeys>1000</MaxKeys><IsTruncated>%s</IsTruncated>%s%s</ListBucketResult>]]

local function listed(page)
  local entries = {}
  for number = 0, 999 do entries[#entries + 1] = ENTRY:format(math.floor(page / 100), page, number) end
  local more = page + 1 < directories
  local token = more and "<NextContinuationToken>" .. page + 1 .. "</NextContinuationToken>" or ""
  return PAGE:format(tostring(more), token, table.concat(entries))
end

local function xml(text)
  ngx.header["Content-Type"] = "application/xml"
  ngx.header["Content-Length"] = #text
  ngx.print(text)
end

-- The bytes of the object itself, whatever the framing around them.
local function size_of_body()
  return tonumber(ngx.var.http_x_amz_decoded_content_length or ngx.var.http_content_length) or 0
end

-- A large body is thrown away piece by piece: to have memory cleared for all of it takes longer than TLS does.
local LARGE = 256 * 1024
local function swallow()
  local left = tonumber(ngx.var.http_content_length) or 0
  local socket = left >= LARGE and ngx.req.socket()
  if not socket then return ngx.req.read_body() end
  while left > 0 do
    local piece = socket:receiveany(LARGE)
    if not piece then return ngx.exit(444) end
    left = left - #piece
  end
end

local ECHOED = { "crc64nvme", "crc32" }
local function took()
  for _, kind in ipairs(ECHOED) do
    local given = ngx.var["http_x_amz_checksum_" .. kind]
    if given then
      ngx.header["x-amz-checksum-" .. kind] = given
      ngx.header["x-amz-checksum-type"] = "FULL_OBJECT"
    end
  end
  ngx.header["ETag"] = '"sink-1"' -- no MD5, so that no tool can hold it against one
  ngx.header["Content-Length"] = 0
  ngx.status = 200
  ngx.send_headers()
end

local function put()
  if ngx.var.arg_partNumber then
    count.parts, count.part_bytes = count.parts + 1, count.part_bytes + size_of_body()
  else
    count.objects, count.object_bytes = count.objects + 1, count.object_bytes + size_of_body()
  end
  took()
end

local function post()
  if ngx.var.uri == "/" then return xml(ASSUMED) end
  if ngx.var.arg_uploadId then
    count.completed = count.completed + 1
    return xml(COMPLETED)
  end
  xml(BEGUN)
end

function store.serve()
  local method = ngx.req.get_method()
  count.in_flight = count.in_flight + 1
  count.most_in_flight = math.max(count.most_in_flight, count.in_flight)
  swallow()
  if ngx.var.http_if_none_match then ngx.req.clear_header("If-None-Match") end -- or nginx itself says 304
  if round_trip > 0 then ngx.sleep(round_trip) end
  ngx.update_time()
  count.in_flight = count.in_flight - 1
  if method == "PUT" then
    put()
    if remembers then acknowledged[#acknowledged + 1] = string.format('["%s",%.3f]', ngx.var.uri, ngx.now()) end
  elseif method == "POST" then
    post()
  elseif method == "HEAD" then
    count.heads = count.heads + 1
    ngx.status = ngx.var.uri:find("/", 2, true) and 404 or 200
    ngx.send_headers()
  elseif method == "GET" then
    count.lists = count.lists + 1
    xml(directories > 0 and listed(tonumber(ngx.req.get_uri_args()["continuation-token"]) or 0) or LISTED)
  else
    count.other = count.other + 1
    ngx.status = 204
    ngx.send_headers()
  end
end

function store.counters()
  local parts = {}
  for name, value in pairs(count) do parts[#parts + 1] = string.format('"%s":%d', name, value) end
  xml("{" .. table.concat(parts, ",") .. "}")
end

-- When each object was answered, by path, from the first request for this on.
function store.acknowledged()
  remembers = true
  xml("[" .. table.concat(acknowledged, ",") .. "]")
end

function store.reset()
  blank()
  xml("{}")
end

function store.set_round_trip()
  round_trip = tonumber(ngx.var.arg_seconds) or 0
  xml("{}")
end

function store.set_listing()
  directories = tonumber(ngx.var.arg_directories) or 0
  xml("{}")
end

return store
