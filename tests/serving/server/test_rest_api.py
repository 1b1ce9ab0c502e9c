def test_the_documentations_example(server):
    path = "/v1/models/plain"
    response = server.http.post(f"{path}:predict", content='{"instances": [1.0,2.0,5.0]}')
    print(response.text, response.headers)
    assert response.json() == {"predictions": [3.5, 4.0, 5.5]}
    for p in ("/", "/v1/models/plain", "/v1/models/plain/metadata", "/page/models", "/monitoring/prometheus/metrics", "/v1/models/words:predict"):
        print(server.http.get(p).text[:3000])
    print(server.http.post("/v1/models/half:predict", content='{"instances": [1.0,5.0]}').text)
    assert 0
