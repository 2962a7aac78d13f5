"""Without asyncio: a node on a background thread and a blocking client, for scripts, notebooks and Flask."""

import mpreg

node = mpreg.Node("words")


@node.function
def length(word: str) -> int:
    return len(word)


with node.running(), mpreg.SyncClient(node.address, timeout=10.0) as client:
    print(client.call(length, "mesh"))  # 4
    print(list(client.map(length, ["a", "bc", "def"])))  # [1, 2, 3]

    future = client.submit(length, "later")
    print(future.result())  # 5

    # Options of a call stand in `remote`; every keyword of the call itself goes to the function.
    quick = client.remote(length, timeout=1.0, retries=0)
    print(quick("short"))  # 5
    print([outcome.value for outcome in quick.call_all("everywhere")])  # [10]

    try:
        client.call("lenght", "mesh")
    except mpreg.FunctionNotFoundError as error:
        print("length" in str(error))  # True
