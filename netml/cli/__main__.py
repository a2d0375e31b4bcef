from netml.cli import main

main()
