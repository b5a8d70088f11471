"""Times reports of a plain server while its events grow tenfold twice, with the same rollups.

    isotherm-native --port 8193 --data EMPTY_FOLDER
    python3 bench/results/reports_growth.py 8193

Prints p50 and p99 in ms of 100 requests each, one at a time, and the events/s of the load before.
"""
import gzip
import http.client
import json
import sys
import time
from pathlib import Path

port=int(sys.argv[1])
lines=[l for l in gzip.open(Path(__file__).parent / '../data/flights-2013-01.ndjson.gz').read().split(b'\n') if l]
c=http.client.HTTPConnection('127.0.0.1',port)
def post(b):
    c.request('POST','/events/batch',b,{'content-type':'application/x-ndjson'}); r=c.getresponse(); d=r.read(); assert r.status==200,(r.status,d[:200])
    assert b'"retry":0' in d
R='from=2013-01-01T00:00:00Z&to=2013-02-02T00:00:00Z'
Q={'summary':'summary?metrics=count,users,sum:distance,p95:depDelay','by hour':'timeseries?interval=hour&metrics=count,users','day, carrier':'timeseries?interval=day&groupBy=carrier&metrics=count,p95:depDelay','top dest':'top?dimension=dest&metrics=count,users'}
done=0; out=[]
for upto in (1,10,100):
    t=time.time()
    for p in range(done,upto):
        pl=[l.replace(b'"messageId":"nyc13-',b'"messageId":"p%d-'%p,1) for l in lines]
        for i in range(0,len(pl),500): post(b'\n'.join(pl[i:i+500]))
    took=time.time()-t; n=(upto-done)*len(lines); done=upto
    time.sleep(4)
    row={'events':upto*len(lines),'load events/s':round(n/took)}
    for name,q in Q.items():
        s=[]
        for k in range(110):
            t=time.perf_counter(); c.request('GET',f'/reports/{q}&{R}'); r=c.getresponse(); d=r.read(); s.append((time.perf_counter()-t)*1e3); assert r.status==200
        if name=='summary': assert json.loads(d)['rows'][0]['count']==upto*len(lines), d[:200]
        s=sorted(s[10:]); row[name]=(round(s[49],2),round(s[98],2))
    out.append(row); print(row,flush=True)
