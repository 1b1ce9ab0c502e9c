from ikelos.pipelines.report.machine import machine_table


def test_the_table_says_what_the_machine_was():
    machine = {"cpu": "a processor", "cores": 2, "sgemm_gflops": 99.6, "tensorflow": "2.21", "python": "3.13"}
    table = machine_table({"machine": machine, "peak_memory_bytes": 1.26e9})
    assert [value for _, value in table.rows] == ["a processor, 2 cores", "100 GFLOP/s", "1.3 GB", "2.21", "3.13"]
